-- The keys that are not MATCHED, with identity, age, severity and probable causes.
-- In: level, settled (rows of the view `shown`), line, document, hint, previous (break_id, first_seen_run,
--     runs_seen, status: the breaks and the closed breaks of the run before).
create or replace temp view unmatched as from level where class <> 'MATCHED';

create or replace temp table broken as
select sku, location, quantity_a, quantity_b, expected_diff, unexplained from unmatched where class = 'BREAK';

-- Sets of one to three open documents of a break whose sum is what is unexplained; keys with many
-- documents have sums by chance and are left out.
create or replace temp table few as
select d.sku, d.location, d.ref, d.quantity, -i.unexplained as wanted
from document d
join broken i using (sku, location)
where quantity_a <> quantity_b or expected_diff >= 0
qualify count(*) over (partition by d.sku, d.location) <= 8;

create or replace temp view subset as
select sku, location, wanted as quantity, ref as refs from few where quantity = wanted
union all
select x.sku, x.location, x.wanted, x.ref || ' and ' || y.ref
from few x join few y using (sku, location)
where x.ref < y.ref and x.quantity + y.quantity = x.wanted
union all
select x.sku, x.location, x.wanted, x.ref || ', ' || y.ref || ' and ' || z.ref
from few x join few y using (sku, location) join few z using (sku, location)
where x.ref < y.ref and y.ref < z.ref and x.quantity + y.quantity + z.quantity = x.wanted;

create or replace temp table cause as
with candidate as (
    -- documents that nobody expects, or that only one side counts
    select sku, location, 1 as place, 'DUPLICATE_BACKEND_ORDER' as reason, duplicated as quantity, ref as evidence
    from line where duplicated <> 0 and not cut_off
    union all
    select sku, location, 2, if(overposted < 0, 'TRANSFER_SHORT', 'TRANSFER_OVER'), misposted, ref
    from line where misposted <> 0
    union all
    select sku, location, 3, reason, quantity, ref from document where class in ('LATE', 'CONFLICT')
    union all
    -- a line without its beginning does not count; it may be the missing document
    select sku, location, 4, 'ORDER_NOT_IMPORTED', counted_a - counted_b, ref || ' (its placing is not in the feed)'
    from line where cut_off and counted_a <> counted_b
    union all
    select sku, location, 4, 'PUBLISH_REJECTED', unexplained, evidence
    from broken join refused using (sku, location, unexplained)
    union all
    -- the target shows exactly the authority's number: somebody pushed it without the open orders
    select sku, location, 5, 'PUBLISH_OVERWRITE', unexplained, 'target equals authority, open orders left out'
    from broken where quantity_a = quantity_b and expected_diff < 0 and not getvariable('own_kinds')
    union all
    -- the opposite at another location of the same SKU: booked at the wrong one
    select a.sku, a.location, 6, 'NODE_MAPPING', a.unexplained, 'the opposite at ' || any_value(b.location)
    from broken a
    join broken b on b.sku = a.sku and b.location <> a.location and b.unexplained = -a.unexplained
    group by a.sku, a.location, a.unexplained
    having count(*) = 1
    union all
    -- one number counts packs, the other what is in them
    select i.sku, i.location, 7, 'UOM_MISMATCH', unexplained, 'one side counts packs of ' || p.factor::varchar
    from broken i
    join pack p on p.sku = i.sku and p.factor > 1
    where quantity_b <> 0
        and (quantity_a - expected_diff = quantity_b * p.factor or (quantity_a - expected_diff) * p.factor = quantity_b)
    union all
    select sku, location, 8, reason, quantity, evidence from hint
    union all
    -- a few open documents that together are exactly what nothing explains: the number leaves them out
    select sku, location, 9, 'PUBLISH_OVERWRITE', -quantity, 'the number leaves out ' || any_value(refs)
    from subset where not getvariable('own_kinds')
    group by sku, location, quantity
    having count(*) = 1
    union all
    -- a suggestion, never a match: the authority has the same order under another reference
    select
        x.sku, x.location, 10, 'ORDER_NOT_IMPORTED', x.counted_a - x.counted_b,
        x.ref || ' may be ' || any_value(y.ref) || ' (score '
            || round(any_value(jaro_winkler_similarity(x.ref, y.ref)), 2)::varchar || ')'
    from line x
    join line y using (sku, location)
    where x.family = 'order' and x.placed_a > 0 and x.placed_b + x.shipped_b = 0
        and y.family = 'order' and y.placed_a = 0 and y.first_b is not null and greatest(y.placed_b, y.shipped_b) = x.placed_a - x.cancelled_a
        and y.first_b between x.first_a and x.first_a + interval 3 days
    group by x.sku, x.location, x.ref, x.counted_a, x.counted_b
    having count(*) = 1
)
select
    sku, location,
    '[' || array_to_string(
        arg_min(
            json_object('reason', reason, 'quantity', quantity::quantity::varchar, 'evidence', evidence)::varchar,
            (place, -abs(quantity), evidence, reason),
            10
        ),
        ','
    ) || ']' as causes
from candidate
-- what is only on its way needs no cause
semi join (from unmatched where class <> 'IN_FLIGHT') using (sku, location)
group by sku, location;

-- How fast a faulty key sells: units a day, over the days that the feeds reach back, a week at most.
create or replace temp table selling as
select
    sku, location,
    sum(quantity) / any_value(days) as sold_a_day
from event
semi join (from unmatched where class in ('BREAK', 'CONFLICT', 'LATE')) using (sku, location)
cross join (
    select least(7.0, greatest(1.0, epoch(getvariable('now') - min(posted_at)) / 86400)) as days from event
) reach
where kind in ('PLACE', 'POS_SALE') and side = 'a'
    and posted_at between getvariable('now') - interval 7 days and getvariable('now')
group by sku, location;

create or replace temp table break as
with identified as (
    select *, md5(concat_ws(chr(31), pair, sku, location, getvariable('basis_pair'))) as break_id
    from unmatched
),
aged as (
    select
        i.*,
        p.break_id is not null and p.status <> 'CLOSED' as goes_on,
        if(goes_on, p.first_seen_run, getvariable('run')) as first_seen_run,
        if(goes_on, p.runs_seen, 0) + 1 as runs_seen,
        case
            when class = 'IN_FLIGHT' then 'TRANSIENT'
            when p.status = 'CLOSED' then 'REOPENED'
            when goes_on then p.status
            else 'OPEN'
        end as status,
        class in ('BREAK', 'CONFLICT', 'LATE') as is_fault,
        getvariable('a_sellable') and quantity_a > publish as overstates,
        overstates and quantity_a > 0 and publish <= 0 as oversells,
        (price * abs(if(coalesce(unexplained, 0) <> 0, unexplained, coalesce(expected_diff, raw_diff))))::quantity
            as value
    from identified i
    -- a break that closed while something was on its way is remembered as both, and goes on as what it is
    left join previous p on p.break_id = i.break_id and (p.status = 'TRANSIENT') = (class = 'IN_FLIGHT')
)
select
    a.*,
    getvariable('run') as last_seen_run,
    case
        -- it sells what is not there, or will within a day
        when is_fault and (oversells or (overstates and publish <= sold_a_day)) then 'critical'
        when class in ('BREAK', 'CONFLICT') and quantity_a > coalesce(publish, predicted_now) then 'high'
        when is_fault and value >= getvariable('high_value') then 'high'
        when is_fault then 'medium'
        else 'low'
    end as severity,
    coalesce(c.causes, '[]') as causes
from aged a
left join cause c using (sku, location)
left join selling using (sku, location);

-- Breaks of the run before that are gone: remembered, so that they can be reopened.
create or replace temp table closed as
select
    p.break_id, p.pair, p.sku, p.location, p.first_seen_run, p.last_seen_run, p.runs_seen,
    'CLOSED' as status
from previous p
left join break b using (break_id)
where p.status <> 'TRANSIENT' and (b.break_id is null or b.status = 'TRANSIENT');

-- What the target should be told: only faults, only after the debounce, and at once where the
-- target sells what is not there (DOMAIN 2.3). Never more than what its own number should be by now:
-- a receipt that it will still post itself would count twice. The number replaced is the one that the
-- target shows by now: a sale since it was read must not be taken back by a delta, nor refuse a
-- compare-and-set.
create or replace temp table correction as
with told as (
    select *, if(getvariable('a_sellable'), least(publish, greatest(0, floor(predicted_now))), publish)::quantity as told
    from break
    where is_fault
)
select
    md5(concat_ws(chr(31), break_id, getvariable('run'))) as correction_id,
    pair, getvariable('target') as target, sku, location, getvariable('basis') as basis,
    'set' as mode, told as value, shown_now as change_from, (told - shown_now)::quantity as delta,
    reason,
    sha256(concat_ws(chr(31), correction_id, getvariable('target'), '1')) as idempotency_key,
    'PROPOSED' as status,
    class, severity, unexplained, quantity_a as seen, as_of_a as as_of, price,
    null::varchar as undoes
from told
where getvariable('correct')
    and told <> shown_now
    and (runs_seen >= getvariable('debounce') or (oversells and unexplained > 0));

-- Counts that close: keys = Σ over classes and reasons.
create or replace temp table tally as
with counted as (
    select
        class, coalesce(reason, '') as reason, price, quantity_a, quantity_b, cut_off,
        abs(case
            when class in ('BREAK', 'AMBIGUOUS', 'EVENTS_INCOMPLETE') then unexplained
            when class in ('MISSING_IN_A', 'MISSING_IN_B') then coalesce(quantity_a, quantity_b)
            else raw_diff
        end) as amount
    from level
    union all
    select 'MATCHED', '', price, quantity_a, quantity_b, 0, null
    from settled
)
select
    getvariable('pair') as pair, class, reason,
    count(*) as keys,
    coalesce(sum(amount), 0)::decimal(38, 4) as units,
    coalesce(sum(amount * price) filter (amount is not null), 0)::decimal(38, 4) as value,
    coalesce(sum(quantity_a), 0)::decimal(38, 4) as units_a,
    coalesce(sum(quantity_b), 0)::decimal(38, 4) as units_b,
    count(price) as priced,
    sum(cut_off)::bigint as cut_off
from counted
group by all;
