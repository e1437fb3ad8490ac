//! The arguments of a call whose types are determined by the call instead of the function: VARIADIC "any".

use std::ffi::CStr;

use pgrx::pg_sys;

/// Each argument as PostgreSQL's text; NULL is `None`.
pub fn as_text(call: pg_sys::FunctionCallInfo) -> Vec<Option<String>> {
    // SAFETY: PostgreSQL gives every call a valid fcinfo with nargs arguments, each of the type that its expression says;
    // an output function gives a NUL-terminated text.
    unsafe {
        let arguments = (*call).args.as_slice((*call).nargs as usize);
        let text = |(n, argument): (usize, &pg_sys::NullableDatum)| {
            let of = pg_sys::get_fn_expr_argtype((*call).flinfo, n as i32);
            if argument.isnull || of == pg_sys::InvalidOid {
                return None;
            }
            let (mut output, mut is_varlena) = (pg_sys::InvalidOid, false);
            pg_sys::getTypeOutputInfo(of, &raw mut output, &raw mut is_varlena);
            let text = pg_sys::OidOutputFunctionCall(output, argument.value);
            Some(CStr::from_ptr(text).to_string_lossy().into_owned())
        };
        arguments.iter().enumerate().map(text).collect()
    }
}
