-- The inverse of what took effect, as corrections of the run in the variable `run`. A delta that was handed over
-- but not seen yet is left out: taking back what may never come would be a fault of its own.
-- In: fate (receipts_schema).
create or replace temp view inverse as
with effective as (
    select *, md5(concat_ws(chr(31), correction_id, getvariable('run'))) as inverse_id
    from fate
    where status in ('APPLIED', 'VERIFIED') or (status = 'SENT' and mode = 'set')
)
select
    * exclude (inverse_id) replace (
        inverse_id as correction_id,
        value - delta as value,
        value as change_from,
        -delta as delta,
        -unexplained as unexplained,
        value as seen,
        answered_at as as_of,
        why as reason,
        sha256(concat_ws(chr(31), inverse_id, target, '1')) as idempotency_key,
        'PROPOSED' as status,
        correction_id as undoes
    )
from effective;
