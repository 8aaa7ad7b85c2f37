-- How far numbers have moved by their own events since they were read. An event that was told twice counts once.
-- In: key (sku, location, as_of), event (events_schema), effect (kind, coefficient); the variable `now`.
create or replace temp table moved as
with once as (
    select *
    from event
    qualify event_id is null or row_number() over (partition by event_id order by posted_at desc) = 1
)
select
    k.sku,
    k.location,
    coalesce(
        sum(e.quantity * f.coefficient) filter (e.posted_at > k.as_of and e.posted_at <= getvariable('now')), 0
    ) as moved
from key k
left join once e using (sku, location)
left join effect f on f.kind = e.kind
group by k.sku, k.location;
