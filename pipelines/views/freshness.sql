-- How old each system's numbers were when they were last judged, and what was wrong with them.
create or replace view `{dataset}.freshness` as
select
    s.system, s.dataset, s.as_of, s.watermark, s.run_at,
    timestamp_diff(s.run_at, s.as_of, minute) as minutes_old,
    s.row_count, s.rejected, v.success, v.failed, v.messages
from `{dataset}.snapshots` s
left join `{dataset}.validation` v
    on v.run_id = s.run_id and v.run_at = s.run_at and v.system = s.system and v.dataset = s.dataset
where true
qualify row_number() over (partition by s.system, s.dataset order by s.run_at desc, s.as_of desc) = 1
