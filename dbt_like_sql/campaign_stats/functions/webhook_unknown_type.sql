-- purpose: why an item of messages[] is not known to come from a contact; what the provider generates is no reply
-- grain:   one item; null: it is of a type that contacts write
-- reads:   nothing
-- writes:  nothing
-- locks:   none
--
-- The types are those of the provider's documentation of 2026. The type of an item without one is what it contains. "unsupported" is a
-- message whose content the provider withholds: unsupported.type tells for some that a contact wrote it.
CREATE OR REPLACE FUNCTION headrace.webhook_unknown_type(p_item jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN p_item ->> 'type' IN (
        'text', 'image', 'audio', 'voice', 'video', 'document', 'sticker', 'location', 'contacts', 'button', 'interactive', 'order',
        'reaction') THEN NULL
    WHEN coalesce(p_item ->> 'type', '') = '' THEN CASE
        WHEN p_item ?| ARRAY[
            'text', 'image', 'audio', 'voice', 'video', 'document', 'sticker', 'location', 'contacts', 'button', 'interactive', 'order',
            'reaction'] AND NOT p_item ? 'system' THEN NULL
        ELSE 'no type'
    END
    WHEN p_item ->> 'type' = 'unsupported' THEN CASE
        WHEN p_item #>> '{unsupported,type}' IN (
            'gif', 'group_invite', 'image', 'audio', 'video', 'document', 'sticker', 'link_preview', 'location', 'order', 'poll_creation',
            'product') THEN NULL
        ELSE 'type "unsupported"' || coalesce(' (' || left(p_item #>> '{unsupported,type}', 80) || ')', '')
            || ': it is not said that the contact wrote something'
    END
    ELSE 'type ' || left((p_item -> 'type')::text, 80) || ' is not known to be a message of the contact'
END;
