-- What needs somebody now among records and orders: the differences of each pair's newest run.
create or replace view `{dataset}.current_differences` as
with newest as (
    select pair, run_id, run_at
    from `{dataset}.runs`
    where true
    qualify row_number() over (partition by pair order by run_at desc, finished_at desc) = 1
)
select d.*
from `{dataset}.differences` d
join newest n on n.pair = d.pair and n.run_id = d.run_id and n.run_at = d.run_at
where d.class <> 'IN_FLIGHT'
