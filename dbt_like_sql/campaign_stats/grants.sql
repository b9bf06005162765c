-- purpose: rights on campaign statistics
-- grain:   schema headrace
-- reads:   nothing
-- writes:  rights
-- locks:   none
GRANT SELECT ON
headrace.campaign_template_stats,
headrace.campaign_computed_stats,
headrace.campaign_template_stats_live,
headrace.campaign_hourly_stats,
headrace.campaign_stats_amendment
TO headrace_reader, headrace_app, headrace_worker;
-- Functions in a view run with the rights of the view's reader: these two are in campaign_template_stats_live.
GRANT EXECUTE ON FUNCTION
headrace.source_campaign_ids(),
headrace.live_counters(uuid)
TO headrace_reader, headrace_app, headrace_worker;
GRANT SELECT ON
headrace.campaign,
headrace.campaign_completion,
headrace.campaign_standing,
headrace.campaign_stats_pending_amendment,
headrace.document_agreement
TO headrace_worker;
GRANT EXECUTE ON FUNCTION
headrace.campaign_stats(uuid),
headrace.list_campaign_stats,
headrace.template_stats(text, timestamptz, timestamptz),
headrace.get_campaign_template_stats(uuid),
headrace.campaign_contact_distribution(uuid)
TO headrace_reader, headrace_app, headrace_worker;
GRANT EXECUTE ON FUNCTION
headrace.rebuild_step(bigint, boolean),
headrace.campaigns_named(uuid[]),
headrace.campaigns_created(timestamptz, timestamptz),
headrace.rebuild_days(),
headrace.final_days(text[], date, date),
headrace.source_row_counts(uuid, jsonb),
headrace.missing_source_rows(jsonb, jsonb),
headrace.refresh_unfrozen_documents(uuid[]),
headrace.rebuild_campaign_stats(uuid[]),
headrace.request_rebuild(uuid[]),
headrace.freeze_campaigns(uuid[]),
headrace.reopen_campaigns(uuid[], boolean),
headrace.amend_campaigns(uuid[], boolean)
TO headrace_worker;
GRANT EXECUTE ON FUNCTION
headrace.ingest_whatsapp_webhook(jsonb),
headrace.ingest_whatsapp_webhook_text(text)
TO headrace_app, headrace_worker;
-- It belongs to a role that may only insert into the application's two tables; their triggers run with its rights.
GRANT EXECUTE ON FUNCTION headrace.store_webhook_items(jsonb) TO headrace_owner;
GRANT EXECUTE ON FUNCTION headrace.retry_webhook_rejects(bigint[], boolean) TO headrace_worker;
GRANT SELECT ON headrace.webhook_reject TO headrace_worker;
GRANT SELECT ON headrace.document_faults TO headrace_worker;
GRANT EXECUTE ON FUNCTION
headrace.counters_json(bigint, bigint, bigint, bigint, bigint, bigint, bigint),
headrace.listed_template(text, uuid),
headrace.most_listed_templates(),
headrace.templates_json(bigint),
headrace.orphaned_statuses(interval, integer),
headrace.source_values(text)
TO headrace_worker;
