-- Of a pair of stock: what may be behind several breaks at once. A suspicion explains exactly what nothing else
-- explains, at `several` keys or more, and nearly everywhere that it could; whether the keys that agree contradict
-- it, hints.sql asks. A bucket is enough for that: it is the whole pair, or hundreds of thousands of its keys.
-- In: level, posting, number_kind (name, kind, coefficient: how numbers of the common kinds move).
create temp table odd as
select sku, location, quantity_a, quantity_b, unexplained
from level where class = 'BREAK' and reason = 'UNEXPLAINED';

create temp table odd_posting as from posting semi join odd using (sku, location);

-- By how much the difference would be another one, were the number of a side of another kind.
create temp macro otherwise(postings) as table
select
    p.sku, p.location, p.side, n.name,
    sum(p.quantity * (n.coefficient - p.coefficient) * if(p.side = 'a', 1, -1)) as quantity
from query_table(postings) p join number_kind n using (kind)
where p.posted_at <= p.as_of
group by all
having sum(p.quantity * (n.coefficient - p.coefficient)) <> 0;

-- A side with postings of the future: its instants are so many hours too late.
create temp table zone as
select side, ceil(epoch(max(posted_at) - getvariable('now')) / 3600)::integer as hours
from odd_posting
where change <> 0
group by side
having hours <= 14 and max(posted_at) > getvariable('now') + interval 15 minutes;

-- What its number has by then. That a number lacks the last hours, or was read later than it says, is no such
-- sign: a slow system and a long export do that as well.
create temp macro entered(postings) as table
select p.sku, p.location, side, sum(if(side = 'a', p.change, -p.change)) as quantity
from query_table(postings) p join zone using (side)
where p.posted_at > p.as_of_hi and p.posted_at <= p.as_of_hi + to_hours(hours)
group by all
having sum(p.change) <> 0;

create temp table evidence as
select
    'ROUNDING' as reason, if(quantity_a = floor(quantity_a), 'a', 'b') as side, 'has whole units only' as what,
    sku, location, unexplained, true as fits
from odd
where abs(unexplained) < 1 and (quantity_a = floor(quantity_a)) <> (quantity_b = floor(quantity_b))
union all
select 'BASIS_MISMATCH', side, name, sku, location, unexplained, unexplained = quantity
from otherwise('odd_posting') join odd using (sku, location)
union all
select
    'TIMEZONE', side, 'has what is posted up to ' || hours::varchar || if(hours = 1, ' hour', ' hours') || ' later',
    sku, location, unexplained, unexplained = quantity
from entered('odd_posting') join odd using (sku, location) join zone using (side);

create temp table suspicion as
select reason, side, what, count(*) filter (fits) as keys
from evidence
group by reason, side, what
-- a few may have another fault besides
having keys >= getvariable('several') and count(*) - keys <= keys / 10
-- of kinds that move alike, the one that explains most
qualify row_number() over (partition by reason, side order by keys desc, what) = 1;
