-- What has become of published corrections, as of now: one row a correction, the last thing known of it.
-- In: outgoing (outgoing_schema: what was on its way out), receipt (receipts_schema: answers, and what a
--     later look found); the place of each row among its own, from 0.
-- Which row that is, is found out on few columns; those of outgoing count down from -1.
create or replace temp table last_known as
with told as (
    select correction_id, attempt, answered_at, place, case status
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
    select correction_id, attempt, created_at as answered_at, -1 - place as place, 0 as rank
    from outgoing
    anti join receipt using (idempotency_key)
)
select place
from (select * from told union all by name select * from doubtful)
qualify row_number() over (partition by correction_id order by attempt desc, rank desc, answered_at desc) = 1;

create or replace temp view fate as
select * from receipt semi join last_known using (place)
union all by name
select * replace ('SENT' as status, -1 - place as place), 'no answer on record' as message, null as observed,
    created_at as answered_at
from outgoing
semi join last_known on last_known.place = -1 - outgoing.place;
