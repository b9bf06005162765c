-- purpose: notes what migrate installed
-- grain:   one name
-- reads:   nothing
-- writes:  headrace.installation, where it says something else
-- locks:   its row there
INSERT INTO headrace.installation AS i (name, value)
VALUES (:name, :value)
ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE i.value <> excluded.value
