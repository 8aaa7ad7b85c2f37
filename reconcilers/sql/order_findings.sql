-- One row a fault of an order, and what is only on its way.
-- In: head, line, common, exported, duplicate, and field (a row a line or a field of a line that differs).
create or replace temp table finding as
with
-- Orders that only one side has. What was cancelled before it was imported is missed by nobody; what the
-- other side could not have yet, as it was read, is on its way (DOMAIN 2.3).
alone as (
    select
        ref, null as line, null as sku, null as doc, null as "column", null as value_a, null as value_b,
        case
            when side = 'b' then if(placed_at > getvariable('seen_a'), 'IN_FLIGHT', 'MISSING_IN_A')
            when placed_at is null then 'MISSING_IN_B'
            when placed_at + getvariable('sla') < getvariable('seen_b') then 'LATE'
            else 'IN_FLIGHT'
        end as class,
        case
            when class = 'LATE' then 'ORDER_NOT_IMPORTED'
            when class = 'IN_FLIGHT' then if(side = 'a', 'ORDER_OPEN', 'NOT_SETTLED')
        end as reason,
        null as difference,
        coalesce(total, amount) as value,
        currency,
        if(side = 'a', placed_at + getvariable('sla'), null) as clears_by
    from head anti join common using (ref)
    where not cancelled
),
-- Second documents of one order, unless somebody has cancelled them already.
again as (
    select
        e.ref, null as line, null as sku, e.doc, null as "column",
        if(e.side = 'a' and any_value(e.has_doc), e.doc, null) as value_a,
        if(e.side = 'b' and any_value(e.has_doc), e.doc, null) as value_b,
        'BREAK' as class,
        if(e.side = 'a', 'DUPLICATE_IN_A', 'DUPLICATE_BACKEND_ORDER') as reason,
        null as difference,
        sum(e.weight * coalesce(e.price, l.price)) as value,
        any_value(coalesce(e.currency, l.currency)) as currency,
        null as clears_by
    from exported e
    join duplicate d on d.side = e.side and d.ref = e.ref and d.doc = e.doc and not d.cancelled
    join common c on c.ref = e.ref
    left join line l on l.side <> e.side and l.ref = e.ref and l.line = e.line
    group by e.side, e.ref, e.doc
),
-- Lines of an order that both sides have, which only one of them has.
odd as (
    select l.*, f.class = 'IN_FLIGHT' as settling
    from field f join line l using (ref, line)
    where f."column" is null
),
-- One article ordered, as much of another one sent, and no third that it might be.
swapped as (
    select a.ref, a.line, a.sku, a.sku as value_a, b.sku as value_b, b.line as line_b,
        a.settling, coalesce(a.amount, b.amount) as value, a.currency
    from odd a
    join odd b on b.ref = a.ref and b.sku <> a.sku and b.quantity is not distinct from a.quantity
    where a.side = 'a' and b.side = 'b'
    qualify count(*) over (partition by a.ref, a.quantity) = 1
),
odd_lines as (
    select o.ref, o.line, o.sku, null as doc, null as "column", null as value_a, null as value_b,
        if(settling, 'IN_FLIGHT', 'BREAK') as class,
        if(settling, 'NOT_SETTLED', if(o.side = 'a', 'LINE_MISSING', 'LINE_EXTRA')) as reason,
        null as difference, o.amount as value, o.currency, null as clears_by
    from odd o
    where not exists (from swapped s where s.ref = o.ref and o.line = if(o.side = 'a', s.line, s.line_b))
),
-- What differs in a line that both sides have. What only follows from something else is left out: another
-- article has other amounts, another currency too, another quantity or price another discount and tax.
differing as (
    select
        f.ref, f.line, a.sku, f."column", f.value_a, f.value_b, f.class,
        f.difference, try_cast(f.difference as decimal(38, 9)) as gap,
        a.quantity, coalesce(a.price, b.price) as price, coalesce(a.amount, b.amount) as amount,
        coalesce(a.currency, b.currency) as currency,
        coalesce(a.changed_at, a.placed_at) as since_a,
        coalesce(b.changed_at, b.placed_at) as since_b,
        bool_or(f."column" = 'currency') over (partition by f.ref) as other_currency,
        bool_or(f."column" = 'sku') over one_line as other_sku,
        bool_or(f."column" in ('quantity', 'price')) over one_line as other_amount,
        bool_or(f."column" = 'discount') over one_line as other_discount
    from field f
    join line a on a.side = 'a' and a.ref = f.ref and a.line = f.line
    join line b on b.side = 'b' and b.ref = f.ref and b.line = f.line
    where f."column" is not null
    window one_line as (partition by f.ref, f.line)
),
fields as (
    from differing
    where not ("column" in ('price', 'discount', 'tax') and (other_currency or other_sku))
        and not ("column" = 'discount' and other_amount)
        and not ("column" = 'tax' and (other_amount or other_discount))
),
line_fields as (
    select
        ref, line, sku, null as doc, "column", value_a, value_b,
        case
            when class = 'IN_FLIGHT' then class
            when "column" = 'sku' then 'CONFLICT'
            else 'BREAK'
        end as class,
        case
            when class = 'IN_FLIGHT' then 'NOT_SETTLED'
            when "column" = 'sku' then 'SUBSTITUTED'
            else upper("column") || '_DIFFERS'
        end as reason,
        difference,
        case "column"
            when 'sku' then amount
            when 'quantity' then abs(gap) * price
            when 'price' then abs(gap) * coalesce(quantity, 1)
            else abs(gap)
        end as value,
        currency, null as clears_by
    from fields
    where "column" in ('sku', 'quantity', 'price', 'discount', 'tax')
),
-- The same change in several lines is one change of the order.
spread as (
    select
        ref, "column", value_a, value_b,
        if(count(*) = 1, any_value(line), null) as line,
        if(count(*) = 1, any_value(sku), null) as sku,
        bool_and(class = 'IN_FLIGHT') as settling,
        max(difference) as difference,
        sum(amount) as amount,
        any_value(currency) as currency,
        max(since_a) as since_a,
        max(since_b) as since_b,
        -- of two states, the side that has not heard of the later one is behind, until then
        case
            when "column" <> 'status' or not (value_a in getvariable('statuses') and value_b in getvariable('statuses'))
                then null
            when value_a = 'open' or (value_a = 'shipped' and value_b = 'returned') then 'a'
            when value_b = 'open' or (value_b = 'shipped' and value_a = 'returned') then 'b'
        end as behind,
        if(behind = 'a', value_b, value_a) as ahead,
        if(behind = 'a', max(since_b), max(since_a)) + getvariable('sla') as due,
        coalesce(due < if(behind = 'a', getvariable('seen_a'), getvariable('seen_b')), true) as overdue,
        "column" = 'status' and value_a in ('shipped', 'cancelled') and value_b in ('shipped', 'cancelled')
            as cancelled_and_shipped,
        if(value_a = 'cancelled', max(since_a) < max(since_b), max(since_b) < max(since_a)) as cancelled_first
    from fields
    where "column" not in ('sku', 'quantity', 'price', 'discount', 'tax')
    group by ref, "column", value_a, value_b
),
order_fields as (
    select
        ref, line, sku, null as doc, "column", value_a, value_b,
        case
            when settling then 'IN_FLIGHT'
            when behind is not null then if(overdue, 'LATE', 'IN_FLIGHT')
            when "column" = 'status' and value_a in getvariable('statuses') and value_b in getvariable('statuses')
                then 'CONFLICT'
            else 'BREAK'
        end as class,
        case
            when settling then 'NOT_SETTLED'
            when behind is not null then case ahead
                when 'cancelled' then 'CANCEL_NOT_PROPAGATED'
                when 'shipped' then 'SHIP_NOT_POSTED'
                else 'RETURN_IN_TRANSIT'
            end
            when cancelled_and_shipped
                then if(coalesce(cancelled_first, false), 'CANCEL_NOT_PROPAGATED', 'CANCEL_AFTER_SHIP')
            when "column" in ('status', 'currency') then upper("column") || '_DIFFERS'
            else 'VALUE_DIFFERS'
        end as reason,
        difference,
        if("column" in ('status', 'currency'), amount, null) as value,
        currency,
        if(behind is not null and not settling, due, null) as clears_by
    from spread
),
-- What an order says that it comes to: against its own lines, and against the other side beyond what its
-- lines tell already.
totals as (
    select
        a.ref, a.currency, a.total as total_a, b.total as total_b,
        if(a.priced, a.amount + coalesce(a.charges, 0), null) as sum_a,
        if(b.priced, b.amount + coalesce(b.charges, 0), null) as sum_b,
        coalesce(if(a.priced and b.priced, a.amount - b.amount, null), 0) as of_lines,
        total_a <> sum_a and not {total_a_near_sum} as odd_a,
        total_b <> sum_b and not {total_b_near_sum} as odd_b,
        (total_a - total_b) - of_lines as gap,
        gap <> 0 and not {total_near} as apart,
        not (a.priced and b.priced) and exists (from field f where f.ref = a.ref) as told_by_lines
    from head a
    join head b on b.ref = a.ref and b.side = 'b'
    where a.side = 'a' and {total_compared}
        and not exists (from field f where f.ref = a.ref and f."column" = 'currency')
),
total_findings as (
    select ref, null as line, null as sku, null as doc, 'total' as "column",
        unnest([if(odd_a, {{'a': total_a, 'b': null, 'gap': total_a - sum_a, 'reason': 'TOTAL_NOT_SUM'}}, null),
            if(odd_b, {{'a': null, 'b': total_b, 'gap': total_b - sum_b, 'reason': 'TOTAL_NOT_SUM'}}, null),
            if(apart and not coalesce(odd_a, false) and not coalesce(odd_b, false) and not told_by_lines,
                {{'a': total_a, 'b': total_b, 'gap': gap, 'reason': 'TOTAL_DIFFERS'}}, null)]) as told,
        currency
    from totals
),
every as (
    from alone
    union all by name from again
    union all by name from odd_lines
    union all by name
        select ref, line, sku, null as doc, 'sku' as "column", value_a, value_b,
            if(settling, 'IN_FLIGHT', 'CONFLICT') as class,
            if(settling, 'NOT_SETTLED', 'SUBSTITUTED') as reason,
            null as difference, value, currency, null as clears_by
        from swapped
    union all by name from line_fields
    union all by name from order_fields
    union all by name
        select ref, line, sku, doc, "column", told.a::varchar as value_a, told.b::varchar as value_b,
            'BREAK' as class, told.reason as reason, told.gap::varchar as difference, abs(told.gap) as value, currency,
            null as clears_by
        from total_findings
        where told is not null
),
-- Which lines it is about: what other documents may know the order by.
of_order as (
    select ref, to_json(list(distinct line order by line))::varchar as lines
    from line semi join every using (ref)
    group by ref
)
select
    getvariable('pair') as pair, ref, line, sku, "column", value_a, value_b, class, reason,
    difference, null::integer as age, doc, if(line is null, lines, to_json([line])::varchar) as lines,
    value::decimal(38, 4) as value, currency, clears_by,
    case
        when class = 'IN_FLIGHT' then 'low'
        when class = 'CONFLICT' or reason = 'DUPLICATE_BACKEND_ORDER' or value >= getvariable('high_value') then 'high'
        else 'medium'
    end as severity
from every join of_order using (ref);

-- One verdict an order: its worst finding, then the one that most money depends on.
create or replace temp table verdict as
select
    ref,
    arg_max({{'class': class, 'reason': reason}}, (
        list_position(['IN_FLIGHT', 'MISSING_IN_B', 'MISSING_IN_A', 'LATE', 'CONFLICT', 'BREAK'], class),
        coalesce(value, 0), coalesce(reason, '')
    )) as worst
from finding
group by ref;
