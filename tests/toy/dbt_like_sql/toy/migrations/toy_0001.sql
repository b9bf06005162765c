-- purpose: the toy's tables
-- grain:   see each
-- reads:   nothing
-- writes:  creates tables
-- locks:   none
CREATE TABLE headrace.toy_tally (
    phone text PRIMARY KEY,
    orders bigint NOT NULL,
    outgoing bigint NOT NULL,
    failures bigint NOT NULL
);
CREATE TABLE headrace.toy_request (phone text PRIMARY KEY);
