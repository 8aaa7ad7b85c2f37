-- What the gates look at, of each pair with planned corrections. In: planned (outgoing_schema).
create or replace temp view total as
select
    pair,
    count(*) as corrections,
    coalesce(sum(abs(delta)), 0) as units,
    coalesce(sum(abs(delta) * price), 0) as value,
    coalesce(max(abs(delta)), 0) as largest,
    count(*) filter (change_from > 0 and value <= 0) as to_zero
from planned
group by pair;
