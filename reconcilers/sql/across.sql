-- Causes whose two halves are different SKUs, and so in different buckets.
-- In: broken (breaks_schema), document (in_flight_schema), alias (sku_a, sku_b, sure), kit (kit, component, quantity).
with off as (
    -- how far the target's number is from where it should be, had every document cleared in time
    select
        sku, location,
        if(class = 'MISSING_IN_A', -quantity_b, unexplained + coalesce(overdue, 0)) as quantity
    from broken
    left join (
        select sku, location, sum(quantity) as overdue
        from document where class in ('LATE', 'CONFLICT') group by sku, location
    ) using (sku, location)
    where class in ('BREAK', 'LATE', 'CONFLICT', 'MISSING_IN_A')
),
-- a kit is off by so many, and each of its parts by as many as are in them, the other way
fitting as (
    select k.kit, location, any_value(o.quantity) as quantity, list(k.component) as components
    from off o
    join kit k on k.kit = o.sku
    join off p using (location)
    where p.sku = k.component and p.quantity = -o.quantity * k.quantity and o.quantity <> 0
    group by k.kit, location
    -- one part of one unit would be any two numbers that mirror
    having sum(k.quantity) > 1 and count(*) = (select count(*) from kit n where n.kit = k.kit)
),
bundle as (
    select * from fitting f
    where not exists (
        from fitting other
        where other.kit <> f.kit and other.location = f.location and list_has_any(other.components, f.components)
    )
)
select
    sku, location, 'SKU_ALIAS' as reason, coalesce(quantity_a, -quantity_b) as quantity,
    'the same numbers as ' || if(class = 'MISSING_IN_B', sku_b || ' in the authority', sku_a || ' in the target')
        as evidence
from broken
join alias on sku = if(class = 'MISSING_IN_B', sku_a, sku_b)
where sure and class in ('MISSING_IN_A', 'MISSING_IN_B')
union all
select
    b.kit, location, 'BUNDLE_NOT_EXPLODED', any_value(b.quantity),
    'its parts are off the other way: ' || string_agg(k.quantity::varchar || ' ' || k.component, ', ' order by k.component)
from bundle b join kit k using (kit)
group by b.kit, location
union all
select
    component, location, 'BUNDLE_NOT_EXPLODED', -b.quantity * k.quantity,
    k.quantity::varchar || ' in each ' || b.kit || ', which is off the other way'
from bundle b join kit k using (kit)
