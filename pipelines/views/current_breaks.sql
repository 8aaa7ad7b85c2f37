-- What needs somebody now: the breaks of each pair's newest run, the most valuable first.
create or replace view `{dataset}.current_breaks` as
with newest as (
    select pair, run_id, run_at
    from `{dataset}.runs`
    where true
    qualify row_number() over (partition by pair order by run_at desc, finished_at desc) = 1
)
select
    b.pair, b.sku, b.location, b.class, b.reason, b.severity, b.status,
    b.quantity_a, b.quantity_b, b.expected_diff, b.unexplained, b.value, b.publish,
    b.first_seen_run, b.runs_seen, b.causes, b.run_id, b.run_at
from `{dataset}.breaks` b
join newest n on n.pair = b.pair and n.run_id = b.run_id and n.run_at = b.run_at
where b.class in ('BREAK', 'CONFLICT', 'LATE', 'MISSING_IN_A', 'MISSING_IN_B', 'AMBIGUOUS', 'UNKNOWN')
