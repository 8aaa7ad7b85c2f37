-- A correction that took effect, or may have, as two postings of one document: the fault as it was found,
-- which is in every number read since, and the write that ended it. Together they are what the target was
-- told on purpose beyond what its own orders explain, such as safety stock.
-- Undoing a correction brings the fault back at the instant of the write, not before.
-- In: fate (receipts_schema: the last thing known of each correction).
create or replace temp view published_event as
with effective as (
    select * from fate where status in ('APPLIED', 'SENT', 'VERIFIED', 'ROLLED_BACK')
)
select
    correction_id || side as event_id, 'PUBLISH' as kind, correction_id as ref, null::varchar as doc, sku, location,
    amount as quantity, null as document_quantity, posted_at,
    target as source_file, attempt::bigint as source_line
from (
    select *, '/fault' as side, unexplained as amount, if(undoes is null, as_of, answered_at) as posted_at
    from effective
    union all by name
    select *, '/write' as side, delta as amount, answered_at as posted_at from effective
)
where amount <> 0;
