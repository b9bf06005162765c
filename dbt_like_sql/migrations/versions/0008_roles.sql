-- purpose: says whose schema headrace is; owners and rights themselves migrate settles each time (engine/rights)
-- grain:   the schema, and what workers' limits are kept in
-- reads:   nothing
-- writes:  comments
-- locks:   SHARE UPDATE EXCLUSIVE on headrace.installation

COMMENT ON SCHEMA headrace IS 'Headrace: belongs to role headrace_owner. Made, changed and removed by headrace migrate and headrace uninstall.';
COMMENT ON TABLE headrace.installation IS
    'What the last migrate rendered into the replaceable objects: their fingerprint, source schema, settings. Retention and '
    'the time after which a stream is lost hold for every worker, whatever its own settings say.';
