-- Published corrections that a later number says something about: it was read after they were answered.
-- In: fate (receipts_schema), level (levels_schema), both of one pair.
create or replace temp view settled as
with seen as (
    select
        f.*, l.quantity_a, l.as_of_a,
        -- the number is as far off as if the correction had never been: it did not arrive, or was undone
        l.class = 'BREAK' and l.unexplained = -f.delta as is_missing,
        l.class in ('MATCHED', 'IN_FLIGHT', 'LATE', 'CONFLICT') as is_there
    from fate f
    join level l using (sku, location)
    where f.status in ('SENT', 'APPLIED') and l.as_of_a > f.answered_at
),
judged as (
    select
        *,
        case
            when is_there then 'VERIFIED'
            when is_missing and status = 'APPLIED' then 'STALE'
            when is_missing and as_of_a > expires_at then 'EXPIRED'
        end as outcome
    from seen
)
select
    * exclude (quantity_a, as_of_a, is_missing, is_there, outcome) replace (
        outcome as status,
        quantity_a as observed,
        case outcome
            when 'VERIFIED' then 'seen in the next number'
            when 'STALE' then 'the next number shows it undone'
            else 'never arrived'
        end as message
    )
from judged
where outcome is not null;
