//! What the planner asks: how many rows a frozen chunk has, what reading it costs, and which conditions skip segments.
//!
//! All conditions stay with the executor, which looks at every row that comes; here they only tell what need not be read.

use std::ffi::CStr;

use pgrx::{pg_guard, pg_sys};

use super::inline::nodes;
use super::store::Options;

/// Rows of a segment, about.
const SEGMENT: f64 = flagscope_core::frozen::MOST_ROWS as f64;
/// The cost of a column of a row, and of looking at a segment's filters, in units of the planner (a page read in sequence
/// is 1). Measured: 20,000 rows of all columns 20 ms, filters of a segment 30 us, a page of a heap 10 us.
const VALUE: f64 = 0.004;
const LOOK: f64 = 3.0;

/// Operators of the system catalog that skip segments: their OIDs are fixed.
const UUID_EQUAL: u32 = 2972;
const TEXT_EQUAL: u32 = 98;

/// What a condition compares with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Test {
    /// `ts` equals, is at least, at most, more, less.
    At = 0,
    From = 1,
    To = 2,
    After = 3,
    Before = 4,
    Trace = 5,
    Subject = 6,
    /// One of an array.
    Traces = 7,
    Subjects = 8,
}

impl Test {
    pub const ALL: [Self; 9] = [
        Self::At,
        Self::From,
        Self::To,
        Self::After,
        Self::Before,
        Self::Trace,
        Self::Subject,
        Self::Traces,
        Self::Subjects,
    ];

    /// A comparison of `ts` by the operator's OID; what it means when the column stands on the right.
    fn of_time(operator: u32, is_swapped: bool) -> Option<Self> {
        match (operator, is_swapped) {
            (1320, _) => Some(Self::At),
            (1322, false) | (1324, true) => Some(Self::Before),
            (1323, false) | (1325, true) => Some(Self::To),
            (1324, false) | (1322, true) => Some(Self::After),
            (1325, false) | (1323, true) => Some(Self::From),
            _ => None,
        }
    }
}

/// A condition that skips segments: what is tested, and the expression that is compared with.
struct Condition {
    test: Test,
    with: *mut pg_sys::Expr,
}

/// The name of the column that an expression is, of the relation `relid` alone.
///
/// # Safety
/// An expression of a planned query.
unsafe fn column_of(node: *mut pg_sys::Node, relid: pg_sys::Index, table: pg_sys::Oid) -> Option<&'static str> {
    // SAFETY: each cast follows the node's tag.
    unsafe {
        if (*node).type_ == pg_sys::NodeTag::T_RelabelType {
            return column_of((*node.cast::<pg_sys::RelabelType>()).arg.cast(), relid, table);
        }
        if (*node).type_ != pg_sys::NodeTag::T_Var {
            return None;
        }
        let var = &*node.cast::<pg_sys::Var>();
        if var.varno as pg_sys::Index != relid || var.varlevelsup != 0 || var.varattno <= 0 {
            return None;
        }
        let name = pg_sys::get_attname(table, var.varattno, true);
        if name.is_null() {
            return None;
        }
        let name = CStr::from_ptr(name).to_bytes();
        ["ts", "trace_id", "subject"].into_iter().find(|known| known.as_bytes() == name)
    }
}

/// The condition of one clause, if it is of use.
///
/// # Safety
/// A clause of a planned query.
unsafe fn condition(
    root: *mut pg_sys::PlannerInfo,
    clause: *mut pg_sys::Node,
    relid: pg_sys::Index,
    table: pg_sys::Oid,
) -> Option<Condition> {
    // SAFETY: each cast follows the node's tag; operators have two arguments here.
    unsafe {
        let (operator, arguments, collation, is_array) = match (*clause).type_ {
            pg_sys::NodeTag::T_OpExpr => {
                let clause = &*clause.cast::<pg_sys::OpExpr>();
                (clause.opno, clause.args, clause.inputcollid, false)
            }
            pg_sys::NodeTag::T_ScalarArrayOpExpr => {
                let clause = &*clause.cast::<pg_sys::ScalarArrayOpExpr>();
                if !clause.useOr {
                    return None;
                }
                (clause.opno, clause.args, clause.inputcollid, true)
            }
            _ => return None,
        };
        let arguments: Vec<*mut pg_sys::Node> = nodes(arguments).collect();
        let [left, right] = arguments[..] else { return None };
        let (column, with, is_swapped) = match column_of(left, relid, table) {
            Some(column) => (column, right, false),
            None if !is_array => (column_of(right, relid, table)?, left, true),
            None => return None,
        };
        // Columns of other relations are known by the time it is read: the path is parameterised by them.
        let of_itself = pg_sys::bms_is_member(relid as i32, pg_sys::pull_varnos(root, with));
        if of_itself || pg_sys::contain_volatile_functions(with) {
            return None;
        }
        let is_exact = || pg_sys::get_collation_isdeterministic(collation);
        let test = match (column, operator.to_u32(), is_array) {
            ("ts", operator, false) => Test::of_time(operator, is_swapped)?,
            ("trace_id", UUID_EQUAL, false) => Test::Trace,
            ("trace_id", UUID_EQUAL, true) => Test::Traces,
            ("subject", TEXT_EQUAL, false) if is_exact() => Test::Subject,
            ("subject", TEXT_EQUAL, true) if is_exact() => Test::Subjects,
            _ => return None,
        };
        Some(Condition { test, with: with.cast() })
    }
}

/// All conditions of a relation that are of use.
///
/// # Safety
/// Clauses of a planned query.
unsafe fn conditions(
    root: *mut pg_sys::PlannerInfo,
    clauses: *mut pg_sys::List,
    relid: pg_sys::Index,
    table: pg_sys::Oid,
) -> Vec<Condition> {
    // SAFETY: as the caller promises.
    unsafe { nodes(clauses).filter_map(|clause| condition(root, clause, relid, table)).collect() }
}

/// Is a member of an equivalence class the column whose number `wanted` points to.
#[pg_guard]
unsafe extern "C-unwind" fn is_column(
    _root: *mut pg_sys::PlannerInfo,
    relation: *mut pg_sys::RelOptInfo,
    _class: *mut pg_sys::EquivalenceClass,
    member: *mut pg_sys::EquivalenceMember,
    wanted: *mut std::ffi::c_void,
) -> bool {
    // SAFETY: PostgreSQL hands over a member of a class of the relation, and what it was given as `wanted`.
    unsafe {
        let mut node = (*member).em_expr.cast::<pg_sys::Node>();
        while (*node).type_ == pg_sys::NodeTag::T_RelabelType {
            node = (*node.cast::<pg_sys::RelabelType>()).arg.cast();
        }
        if (*node).type_ != pg_sys::NodeTag::T_Var {
            return false;
        }
        let var = &*node.cast::<pg_sys::Var>();
        var.varno as pg_sys::Index == (*relation).relid && var.varattno == *wanted.cast::<pg_sys::AttrNumber>()
    }
}

/// Clauses that join a relation by its trace or subject.
///
/// # Safety
/// A relation that is being planned.
unsafe fn joins(
    root: *mut pg_sys::PlannerInfo,
    relation: *mut pg_sys::RelOptInfo,
    table: pg_sys::Oid,
) -> Vec<*mut pg_sys::RestrictInfo> {
    // SAFETY: as the caller promises; the number outlives the call that it is given to.
    unsafe {
        let mut found: Vec<_> = nodes::<pg_sys::RestrictInfo>((*relation).joininfo)
            .filter(|clause| pg_sys::join_clause_is_movable_to(*clause, relation))
            .collect();
        if (*relation).has_eclass_joins {
            for column in [c"trace_id", c"subject"] {
                let mut number = pg_sys::get_attnum(table, column.as_ptr());
                let wanted = (&raw mut number).cast();
                let prohibited = (*relation).lateral_referencers;
                let clauses = pg_sys::generate_implied_equalities_for_column(
                    root,
                    relation,
                    Some(is_column),
                    wanted,
                    prohibited,
                );
                found.extend(nodes::<pg_sys::RestrictInfo>(clauses));
            }
        }
        let is_equal = |condition: Condition| matches!(condition.test, Test::Trace | Test::Subject);
        found.retain(|clause| {
            condition(root, (**clause).clause.cast(), (*relation).relid, table).is_some_and(is_equal)
        });
        found
    }
}

/// How many rows it has, and how many of them come.
#[pg_guard]
pub unsafe extern "C-unwind" fn size(
    root: *mut pg_sys::PlannerInfo,
    relation: *mut pg_sys::RelOptInfo,
    table: pg_sys::Oid,
) {
    // SAFETY: PostgreSQL hands over the relation that it plans.
    unsafe {
        (*relation).tuples = Options::of(table).rows.max(1) as f64;
        pg_sys::set_baserel_size_estimates(root, relation);
    }
}

/// The columns of a relation that a query needs: bits as `pull_varattnos` sets them.
///
/// # Safety
/// A relation that is being planned.
unsafe fn needed(relation: *mut pg_sys::RelOptInfo) -> *mut pg_sys::Bitmapset {
    // SAFETY: as the caller promises.
    unsafe {
        let mut columns = std::ptr::null_mut();
        let relid = (*relation).relid;
        pg_sys::pull_varattnos((*(*relation).reltarget).exprs.cast(), relid, &raw mut columns);
        for restriction in nodes::<pg_sys::RestrictInfo>((*relation).baserestrictinfo) {
            pg_sys::pull_varattnos((*restriction).clause.cast(), relid, &raw mut columns);
        }
        columns
    }
}

/// The ways to read it: all that the query's own conditions leave, or again for each trace or subject of another relation.
#[pg_guard]
pub unsafe extern "C-unwind" fn paths(
    root: *mut pg_sys::PlannerInfo,
    relation: *mut pg_sys::RelOptInfo,
    table: pg_sys::Oid,
) {
    // SAFETY: PostgreSQL hands over the relation that it plans.
    unsafe {
        let clauses = pg_sys::extract_actual_clauses((*relation).baserestrictinfo, false);
        let tests = conditions(root, clauses, (*relation).relid, table);
        let has = |wanted: &[Test]| tests.iter().any(|condition| wanted.contains(&condition.test));
        let all = ((*relation).tuples / SEGMENT).ceil().max(1.0);
        let read = if has(&[Test::Trace, Test::Subject]) {
            1.0_f64.max(all / 100.0)
        } else if has(&[Test::At, Test::From, Test::To, Test::After, Test::Before, Test::Traces, Test::Subjects]) {
            1.0_f64.max(all * (*relation).rows / (*relation).tuples)
        } else {
            all
        };
        let columns = f64::from(pg_sys::bms_num_members(needed(relation)));
        let rows = (read * SEGMENT).min((*relation).tuples);
        let cost = all * LOOK + rows * (pg_sys::cpu_tuple_cost + VALUE * columns);
        let path = foreign_path(root, relation, (*relation).rows, cost, (*relation).lateral_relids);
        pg_sys::add_path(relation, path.cast());
        for clause in joins(root, relation, table) {
            let outer = pg_sys::bms_union((*clause).clause_relids, (*relation).lateral_relids);
            let outer = pg_sys::bms_del_member(outer, (*relation).relid as i32);
            if pg_sys::bms_num_members(outer) > 0 {
                let known = pg_sys::get_baserel_parampathinfo(root, relation, outer);
                let rows = SEGMENT.min((*relation).tuples);
                let cost = all * LOOK + rows * (pg_sys::cpu_tuple_cost + VALUE * columns);
                let path = foreign_path(root, relation, (*known).ppi_rows, cost, outer);
                pg_sys::add_path(relation, path.cast());
            }
        }
    }
}

#[cfg(any(feature = "pg15", feature = "pg16"))]
unsafe fn foreign_path(
    root: *mut pg_sys::PlannerInfo,
    relation: *mut pg_sys::RelOptInfo,
    rows: f64,
    cost: f64,
    outer: pg_sys::Relids,
) -> *mut pg_sys::ForeignPath {
    use std::ptr::null_mut;
    // SAFETY: as `paths`.
    unsafe {
        pg_sys::create_foreignscan_path(
            root,
            relation,
            null_mut(),
            rows,
            0.0,
            cost,
            null_mut(),
            outer,
            null_mut(),
            null_mut(),
        )
    }
}

#[cfg(feature = "pg17")]
unsafe fn foreign_path(
    root: *mut pg_sys::PlannerInfo,
    relation: *mut pg_sys::RelOptInfo,
    rows: f64,
    cost: f64,
    outer: pg_sys::Relids,
) -> *mut pg_sys::ForeignPath {
    use std::ptr::null_mut;
    // SAFETY: as `paths`.
    unsafe {
        pg_sys::create_foreignscan_path(
            root,
            relation,
            null_mut(),
            rows,
            0.0,
            cost,
            null_mut(),
            outer,
            null_mut(),
            null_mut(),
            null_mut(),
        )
    }
}

#[cfg(feature = "pg18")]
unsafe fn foreign_path(
    root: *mut pg_sys::PlannerInfo,
    relation: *mut pg_sys::RelOptInfo,
    rows: f64,
    cost: f64,
    outer: pg_sys::Relids,
) -> *mut pg_sys::ForeignPath {
    use std::ptr::null_mut;
    // SAFETY: as `paths`.
    unsafe {
        pg_sys::create_foreignscan_path(
            root,
            relation,
            null_mut(),
            rows,
            0,
            0.0,
            cost,
            null_mut(),
            outer,
            null_mut(),
            null_mut(),
            null_mut(),
        )
    }
}

/// The plan: expressions to compare with, and in one list of numbers what each is compared as, -1, and the columns needed.
#[pg_guard]
pub unsafe extern "C-unwind" fn plan(
    root: *mut pg_sys::PlannerInfo,
    relation: *mut pg_sys::RelOptInfo,
    table: pg_sys::Oid,
    _path: *mut pg_sys::ForeignPath,
    targets: *mut pg_sys::List,
    clauses: *mut pg_sys::List,
    outer: *mut pg_sys::Plan,
) -> *mut pg_sys::ForeignScan {
    use std::ptr::null_mut;
    // SAFETY: PostgreSQL hands over the relation that it plans, with all of its clauses.
    unsafe {
        let clauses = pg_sys::extract_actual_clauses(clauses, false);
        let (mut with, mut numbers) = (null_mut(), null_mut());
        for Condition { test, with: expression } in conditions(root, clauses, (*relation).relid, table) {
            with = pg_sys::lappend(with, expression.cast());
            numbers = pg_sys::lappend_int(numbers, test as i32);
        }
        numbers = pg_sys::lappend_int(numbers, -1);
        let (mut columns, mut bit) = (needed(relation), -1);
        pg_sys::pull_varattnos(clauses.cast(), (*relation).relid, &raw mut columns);
        loop {
            bit = pg_sys::bms_next_member(columns, bit);
            if bit < 0 {
                break;
            }
            numbers = pg_sys::lappend_int(numbers, bit + pg_sys::FirstLowInvalidHeapAttributeNumber);
        }
        pg_sys::make_foreignscan(targets, clauses, (*relation).relid, with, numbers, null_mut(), null_mut(), outer)
    }
}
