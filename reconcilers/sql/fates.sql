-- What has become of published corrections, as of now: one row a correction, the last thing known of it.
-- In: outgoing (outgoing_schema: what was on its way out), receipt (receipts_schema: answers, and what a
--     later look found).
create or replace temp view fate as
with told as (
    select *, case status
        when 'ROLLED_BACK' then 3
        when 'VERIFIED' then 2
        when 'EXPIRED' then 2
        when 'STALE' then 1
        else 0
    end as rank
    from receipt
),
-- Sent, perhaps, and killed before the answer was written down: it may have been applied.
doubtful as (
    select
        o.* replace ('SENT' as status), 'no answer on record' as message, null as observed,
        o.created_at as answered_at, 0 as rank
    from outgoing o
    anti join receipt r using (idempotency_key)
)
select * exclude (rank)
from (select * from told union all by name select * from doubtful)
qualify row_number() over (partition by correction_id order by attempt desc, rank desc, answered_at desc) = 1;
