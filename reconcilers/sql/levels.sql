-- The keys that need judgement: the formula's terms, the verdict, and what to publish.
-- In: unsettled (rows of the view `shown`), key_line, goods.
with key as (
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
        getvariable('events_incomplete') or coalesce(l.has_untold, false) as is_incomplete,
        l.document_reason is not null as has_document,
        coalesce(l.has_conflict, false) as has_conflict,
        coalesce(l.has_late, false) as has_late,
        l.document_reason
    from unsettled
    left join key_line l using (sku, location)
    left join goods g using (sku)
),
judged as (
    select
        *,
        case
            when quantity_a is null and quantity_b is null then 'UNKNOWN'
            when quantity_a is null then 'MISSING_IN_A'
            when quantity_b is null then 'MISSING_IN_B'
            when is_incomplete then 'EVENTS_INCOMPLETE'
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
    from key
)
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
from judged
