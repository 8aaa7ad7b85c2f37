-- Which planned corrections are left, of those that are neither sent nor rejected, and whether they may go out.
-- In: planned (outgoing_schema, and their order as place), fate (receipts_schema), decision (correction_id,
--     approves: the last word on each), held (pair: those that a gate holds).
create or replace temp table standing as
select
    p.place,
    p.approval = '' or coalesce(d.approves, false) as is_free,
    p.pair in (select pair from held) as is_held
from planned p
anti join fate using (correction_id)
left join decision d using (correction_id)
where coalesce(d.approves, true);
