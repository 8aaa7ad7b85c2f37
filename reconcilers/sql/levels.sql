-- Every key of the pair: both numbers, the formula's terms, the verdict, and what to publish.
-- In: stock_a, stock_b (sku, location, quantity, as_of, price), line, document.
create or replace temp table key_document as
select
    sku, location,
    bool_or(class = 'CONFLICT') as has_conflict,
    bool_or(class = 'LATE') as has_late,
    -- the document that decides the verdict: the worst class, then the largest, then the oldest
    arg_max(
        reason,
        (case class when 'CONFLICT' then 2 when 'LATE' then 1 else 0 end, abs(quantity), -epoch_us(posted_at), reason)
    ) as reason
from document
group by sku, location;

create or replace temp table key_line as
select
    sku, location,
    sum(if(cut_off, 0, counted_a - counted_b))::quantity as counted_diff,
    sum(if(cut_off, 0, now_a - now_b))::quantity as expected_now,
    sum(if(cut_off, 0, doubt_lo))::quantity as doubt_lo,
    sum(if(cut_off, 0, doubt_hi))::quantity as doubt_hi,
    sum(if(cut_off, 0, duplicated))::quantity as duplicated,
    sum(if(cut_off, 0, misposted))::quantity as misposted,
    sum(overposted)::quantity as overposted,
    count(*) filter (cut_off) as cut_off,
    sum(since_b)::quantity as since_b,
    sum(since_a)::quantity as since_a,
    any_value(d.has_conflict) as has_conflict,
    any_value(d.has_late) as has_late,
    any_value(d.reason) as document_reason,
    -- what the authority's number still contains but nobody may be promised (DOMAIN 2.4)
    sum(case family
        when 'order' then
            if(cut_off, 0, greatest(0, greatest(greatest(placed_a, placed_b) - greatest(cancelled_a, cancelled_b), shipped_a)
                + now_b))
        when 'return' then if(getvariable('returns_sellable'), 0, greatest(0, received_b - restocked - scrapped))
        when 'hold' then greatest(0, now_b - now_a)
        when 'transfer' then greatest(0, now_b - now_a)
        when 'RECEIPT' then 0
        when 'POS_RETURN' then 0
        when 'PUBLISH' then 0
        else greatest(0, least(now_b, 0) - least(now_a, 0))
    end)::quantity as withheld
from line
left join key_document d using (sku, location)
group by sku, location;

-- Both numbers of every key that a side or a line knows. Most keys are settled: both numbers are there
-- and the same, and nothing is under way. They need no judgement, and everything below leaves them out.
create or replace temp table shown as
select
    sku, location,
    coalesce(a.quantity, getvariable('absent_a')) as quantity_a,
    coalesce(a.as_of, getvariable('as_of_a')) as as_of_a,
    coalesce(b.quantity, getvariable('absent_b')) as quantity_b,
    coalesce(b.as_of, getvariable('as_of_b')) as as_of_b,
    coalesce(a.price, b.price) as price,
    coalesce(
        l.sku is null and quantity_a = quantity_b and not getvariable('events_incomplete')
            and (quantity_a >= 0 or not getvariable('a_clamps'))
            and (quantity_a = floor(quantity_a) or not getvariable('a_whole_units')),
        false
    ) as settled
from stock_a a
full join stock_b b using (sku, location)
full join (select sku, location from key_line) l using (sku, location);

create or replace temp view key as
select
    sku, location, quantity_a, as_of_a, quantity_b, as_of_b, price,
    (quantity_b + coalesce(l.counted_diff, 0))::quantity as predicted,
    -- a number that never shows less than zero, or whole units only, is expected to look like it
    case
        when getvariable('a_clamps') and predicted < 0 then 0
        when getvariable('a_whole_units') then floor(predicted)
        else predicted
    end::quantity as predicted_a,
    (predicted_a - quantity_b)::quantity as expected_diff,
    (quantity_a - predicted_a)::quantity as unexplained,
    (unexplained + coalesce(l.doubt_lo, 0))::quantity as unexplained_lo,
    (unexplained + coalesce(l.doubt_hi, 0))::quantity as unexplained_hi,
    coalesce(g.tolerance_absolute, getvariable('tolerance_absolute')) as absolute,
    coalesce(g.tolerance_relative, getvariable('tolerance_relative')) as relative,
    (quantity_b + coalesce(l.since_b, 0))::quantity as authority_now,
    (authority_now - coalesce(l.withheld, 0))::quantity as promisable,
    (authority_now + coalesce(l.expected_now, 0))::quantity as predicted_now,
    -- what the target shows by now: what it showed, and what it has posted itself since then
    case when getvariable('a_clamps') then greatest(0, quantity_a + coalesce(l.since_a, 0))
        else quantity_a + coalesce(l.since_a, 0)
    end::quantity as shown_now,
    coalesce(g.safety_stock, getvariable('safety_stock')) as safety_stock,
    l.duplicated,
    l.misposted,
    l.overposted,
    coalesce(l.cut_off, 0) as cut_off,
    l.document_reason is not null as has_document,
    coalesce(l.has_conflict, false) as has_conflict,
    coalesce(l.has_late, false) as has_late,
    l.document_reason
from (from shown where not settled)
left join key_line l using (sku, location)
left join goods g using (sku);

-- Tolerance never crosses zero: one side would sell what the other does not have (DOMAIN 2.3).
create or replace temp macro tolerance(shown, predicted, authority, absolute, relative) as
    if((shown > 0) <> (predicted > 0), 0, greatest(absolute, relative * greatest(abs(shown), abs(authority))));

-- What the target should show: what can be promised on a number that promises goods, else what its
-- own number should be by now (DOMAIN 2.4).
create or replace temp macro published(atp, predicted_now) as case
    when not getvariable('correct') then null
    when not getvariable('a_sellable') then predicted_now
    when getvariable('a_whole_units') then floor(greatest(0, atp))
    else greatest(0, atp)
end;

create or replace temp view judged as
select
    *,
    case
        when quantity_a is null and quantity_b is null then 'UNKNOWN'
        when quantity_a is null then 'MISSING_IN_A'
        when quantity_b is null then 'MISSING_IN_B'
        when getvariable('events_incomplete') then 'EVENTS_INCOMPLETE'
        when unexplained_lo < unexplained_hi
            and unexplained_lo <= tolerance(quantity_a, predicted_a, quantity_b, absolute, relative)
            and unexplained_hi >= -tolerance(quantity_a, predicted_a, quantity_b, absolute, relative)
            then 'AMBIGUOUS'
        when unexplained <> 0 and abs(unexplained) > tolerance(quantity_a, predicted_a, quantity_b, absolute, relative)
            then 'BREAK'
        when has_conflict then 'CONFLICT'
        when has_late then 'LATE'
        when has_document then 'IN_FLIGHT'
        else 'MATCHED'
    end as class
from key;

create or replace temp view level as
select
    getvariable('pair') as pair,
    sku, location,
    quantity_a, as_of_a, quantity_b, as_of_b,
    (quantity_a - quantity_b)::quantity as raw_diff,
    expected_diff, unexplained, unexplained_lo, unexplained_hi,
    class,
    case class
        when 'MATCHED' then null
        when 'EVENTS_INCOMPLETE' then 'FEED_STALE'
        when 'AMBIGUOUS' then 'AS_OF_UNCERTAIN'
        when 'BREAK' then case
            when duplicated <> 0 and unexplained = duplicated then 'DUPLICATE_BACKEND_ORDER'
            when misposted <> 0 and unexplained = misposted then if(overposted < 0, 'TRANSFER_SHORT', 'TRANSFER_OVER')
            when duplicated <> 0 and unexplained = duplicated + misposted then 'DUPLICATE_BACKEND_ORDER'
            when getvariable('basis') = 'committed'
                then if(unexplained > 0, 'RESERVATION_ORPHAN', 'RESERVATION_MISSING')
            else 'UNEXPLAINED'
        end
        else if(document_reason = 'ORDER_OPEN' and promisable < 0, 'BACKORDER_OPEN', document_reason)
    end as reason,
    if(getvariable('own_kinds'), null, promisable - safety_stock)::quantity as atp,
    case
        when class in ('EVENTS_INCOMPLETE', 'AMBIGUOUS', 'UNKNOWN', 'MISSING_IN_B') then null
        else published(atp, predicted_now)
    end::quantity as publish,
    predicted_now, shown_now, price, cut_off
from judged;

-- Of a settled key only this is worth computing; the rest is the same for all (`stock._settled`).
create or replace temp view settled as
select
    sku, location,
    quantity_a, as_of_a, as_of_b,
    if(getvariable('own_kinds'), null, quantity_b - coalesce(g.safety_stock, getvariable('safety_stock')))::quantity
        as atp,
    published(atp, quantity_b)::quantity as publish
from shown
left join goods g using (sku)
where settled;
