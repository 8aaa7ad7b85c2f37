-- How good the numbers are over time: a row a run and pair.
create or replace view `{dataset}.quality_by_run` as
select
    r.run_at, r.run_id, r.pair, r.target, r.authority, r.`keys`,
    sum(if(c.class in ('MATCHED', 'IN_FLIGHT'), c.`keys`, 0)) as keys_fine,
    sum(if(c.class = 'IN_FLIGHT', c.units, 0)) as units_in_flight,
    sum(if(c.class = 'BREAK', c.`keys`, 0)) as keys_unexplained,
    sum(if(c.class = 'BREAK', c.units, 0)) as units_unexplained,
    sum(if(c.class = 'BREAK', c.value, 0)) as value_unexplained
from `{dataset}.runs` r
join `{dataset}.classes` c on c.run_id = r.run_id and c.run_at = r.run_at and c.pair = r.pair
group by r.run_at, r.run_id, r.pair, r.target, r.authority, r.`keys`
