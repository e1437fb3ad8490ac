-- Messages of errors, whatever was sent.

COMMENT ON FUNCTION _flagscope.message(text, VARIADIC "any") IS
    'format() for the messages of errors, with %s only: '
    'a value longer than 300 characters is cut, and told how long it was';
