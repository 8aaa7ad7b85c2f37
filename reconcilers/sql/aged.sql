-- The age of differences, and those of the run before that are gone.
-- In: identified (the differences, with break_id), previous (REMEMBERED: the differences of the run before,
--     and those that were gone by then), variable run.
create or replace temp table aged as
with known as (
    from previous
    qualify row_number() over (
        partition by break_id, status = 'TRANSIENT' order by status = 'CLOSED', age desc, first_seen_run
    ) = 1
)
select
    d.* replace (if(p.status <> 'CLOSED', p.age + 1, 1)::integer as age),
    if(p.status <> 'CLOSED', p.first_seen_run, getvariable('run')) as first_seen_run,
    getvariable('run') as last_seen_run,
    case
        when class = 'IN_FLIGHT' then 'TRANSIENT'
        when p.status = 'CLOSED' then 'REOPENED'
        else coalesce(p.status, 'OPEN')
    end as status
from identified d
left join known p on p.break_id = d.break_id and (p.status = 'TRANSIENT') = (d.class = 'IN_FLIGHT');

-- Remembered, so that they can be reopened.
create or replace temp view gone as
select distinct on (break_id) * replace ('CLOSED' as status)
from previous anti join (from aged where class <> 'IN_FLIGHT') using (break_id)
where status <> 'TRANSIENT'
order by break_id, age desc;
