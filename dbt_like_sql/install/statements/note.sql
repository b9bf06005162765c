-- purpose: records a value in headrace.installation
-- grain:   one name
-- reads:   nothing
-- writes:  headrace.installation, if the value differs
-- locks:   the name's row
INSERT INTO headrace.installation AS i (name, value)
VALUES (:name, :value)
ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE i.value <> excluded.value
