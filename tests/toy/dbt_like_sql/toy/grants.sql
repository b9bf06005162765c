-- purpose: who may do what with the toy's numbers
-- grain:   schema headrace
-- reads:   nothing
-- writes:  rights
-- locks:   none
GRANT SELECT ON headrace.toy_tally TO headrace_reader, headrace_worker;
