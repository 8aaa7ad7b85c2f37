-- Every key of the pair: both numbers, and whether anything about it needs judgement.
-- In: stock_a, stock_b (sku, location, quantity, as_of, price), goods, line, document.
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
    bool_or(untold) as has_untold,
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

-- What the target should show: what can be promised on a number that promises goods, else what its
-- own number should be by now (DOMAIN 2.4).
create or replace temp macro published(atp, predicted_now) as case
    when not getvariable('correct') then null
    when not getvariable('a_sellable') then predicted_now
    when getvariable('a_whole_units') then floor(greatest(0, atp))
    else greatest(0, atp)
end;

-- Tolerance never crosses zero: one side would sell what the other does not have (DOMAIN 2.3).
create or replace temp macro tolerance(shown, predicted, authority, absolute, relative) as
    if((shown > 0) <> (predicted > 0), 0, greatest(absolute, relative * greatest(abs(shown), abs(authority))));

-- Both numbers of every key that a side or a line knows. Most keys are settled: both numbers are there
-- and the same, and nothing is under way. They need no judgement: what is to be promised and published is all
-- that is worth computing, and everything below leaves them out.
create or replace temp view shown as
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
    ) as settled,
    if(getvariable('own_kinds'), null, quantity_b - coalesce(g.safety_stock, getvariable('safety_stock')))::quantity
        as atp,
    published(atp, quantity_b)::quantity as publish
from stock_a a
full join stock_b b using (sku, location)
full join (select sku, location from key_line) l using (sku, location)
left join goods g using (sku);
