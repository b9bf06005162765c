-- purpose: applies a changed settle window to the campaigns that are settling
-- grain:   all settling campaigns; only migrate calls it, and it runs as its owner, because planning may run code that an application has in its tables
-- reads:   what settle_campaigns reads
-- writes:  what settle_campaigns writes
-- locks:   the campaigns' own rows, in id order
CREATE OR REPLACE FUNCTION headrace.settle_anew() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, headrace, pg_temp
AS $$
DECLARE
    v_settling constant uuid[] := ARRAY(SELECT c.campaign_id FROM headrace.campaign c WHERE c.state = 'settling');
BEGIN
    PERFORM headrace.lock_campaigns(v_settling);
    PERFORM headrace.settle_campaigns(v_settling, false);
END
$$;
