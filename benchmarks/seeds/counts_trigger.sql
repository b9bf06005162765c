-- purpose: the seed's trigger that keeps a campaign's counts, as its document has it, to be measured against
-- grain:   one row of companies or contacts
-- reads:   all companies and contacts of the campaign, for each row
-- writes:  campaigns.companies_count, contacts_count
-- locks:   the campaign's row, until the writer's transaction ends: writers of one campaign wait for each other
--
-- The function is unchanged. The tables have the columns it names, and the indexes that suit it.
CREATE TABLE campaigns (id uuid PRIMARY KEY, companies_count bigint, contacts_count bigint);
CREATE TABLE companies (campaign_id uuid, company_id uuid);
CREATE TABLE contacts (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), campaign_id uuid);
INSERT INTO campaigns SELECT id FROM public.campaigns;
INSERT INTO companies SELECT campaign_id, id FROM public.campaign_contacts;
INSERT INTO contacts SELECT id, campaign_id FROM public.campaign_contacts;
CREATE INDEX ON companies (campaign_id, company_id);
CREATE INDEX ON contacts (campaign_id);

-- Add database triggers to automatically update campaign counts
CREATE OR REPLACE FUNCTION update_campaign_counts()
RETURNS TRIGGER AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    UPDATE campaigns
    SET companies_count = (
      SELECT COUNT(DISTINCT company_id)
      FROM companies
      WHERE campaign_id = NEW.campaign_id
    ),
    contacts_count = (
      SELECT COUNT(*)
      FROM contacts
      WHERE campaign_id = NEW.campaign_id
    )
    WHERE id = NEW.campaign_id;
  ELSIF TG_OP = 'DELETE' THEN
    UPDATE campaigns
    SET companies_count = (
      SELECT COUNT(DISTINCT company_id)
      FROM companies
      WHERE campaign_id = OLD.campaign_id
    ),
    contacts_count = (
      SELECT COUNT(*)
      FROM contacts
      WHERE campaign_id = OLD.campaign_id
    )
    WHERE id = OLD.campaign_id;
  END IF;
  RETURN NULL;
END;
$$ LANGUAGE plpgsql;

CREATE TRIGGER companies_count_trigger
AFTER INSERT OR DELETE ON companies
FOR EACH ROW EXECUTE FUNCTION update_campaign_counts();

CREATE TRIGGER contacts_count_trigger
AFTER INSERT OR DELETE ON contacts
FOR EACH ROW EXECUTE FUNCTION update_campaign_counts();
