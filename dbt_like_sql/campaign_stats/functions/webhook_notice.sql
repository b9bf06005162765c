-- purpose: why an item of messages[] is a notice: nobody wrote it, so it is no reply and needs nobody's attention
-- grain:   one item; null: it is not a known notice
-- reads:   nothing
-- writes:  nothing
-- locks:   none
CREATE OR REPLACE FUNCTION headrace.webhook_notice(p_item jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE p_item ->> 'type'
    WHEN 'system' THEN 'a notice of the system, not a message of the contact'
    WHEN 'request_welcome' THEN 'the contact opened the chat and wrote nothing yet'
    WHEN 'edit' THEN 'an edit of an earlier message'
    WHEN 'revoke' THEN 'an earlier message was deleted'
    WHEN 'reaction' THEN CASE WHEN coalesce(p_item #>> '{reaction,emoji}', '') = '' THEN 'a reaction was taken back' END
    WHEN 'interactive' THEN CASE
        WHEN p_item #>> '{interactive,type}' = 'call_permission_reply'
            AND p_item #>> '{interactive,call_permission_reply,response_source}' <> 'user_action'
            THEN 'permission to call, given by itself'
    END
END;
