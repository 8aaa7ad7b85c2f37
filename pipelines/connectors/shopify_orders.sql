-- Stock events out of a bulk export of orders, one row an event.
-- In: line (number, json, id, parent): orders; below each its line items, and its fulfilment orders with
--     their lines. detail (kind, id, order_id, line_id, quantity, posted_at, location_id, location): lines of
--     refunds, and of fulfilments where an order has several.
with orders as (
    select
        id,
        json ->> '$.name' as name,
        json ->> '$.createdAt' as created_at,
        -- The one fulfilment of an order that has one says when and where all its lines were sent.
        list_filter(
            from_json(json -> '$.fulfillments', '[{"createdAt":"VARCHAR","status":"VARCHAR","location":{"id":"VARCHAR","name":"VARCHAR"}}]'),
            lambda each: each.status = 'SUCCESS'
        ) as fulfilments
    from line
    where parent is null
),
items as (
    select
        number,
        id,
        parent as order_id,
        nullif(trim(json ->> '$.sku'), '') as sku,
        regexp_extract(json ->> '$.variant.id', '\d+$') as variant_id,
        (json ->> '$.quantity')::bigint as quantity
    from line
    where id like 'gid://shopify/LineItem/%'
),
-- Where each line is to be sent from, and how much of it was. A line may be split over locations.
routed as (
    select
        part.json ->> '$.lineItem.id' as line_id,
        route.json ->> '$.assignedLocation.location.id' as location_id,
        route.json ->> '$.assignedLocation.location.name' as location,
        sum((part.json ->> '$.totalQuantity')::bigint) filter (where route.json ->> '$.status' <> 'CANCELLED') as total,
        sum((part.json ->> '$.totalQuantity')::bigint - (part.json ->> '$.remainingQuantity')::bigint) as sent
    from line as part
    join line as route on route.id = part.parent
    where part.id like 'gid://shopify/FulfillmentOrderLineItem/%'
    group by all
),
-- Where a line belongs that no location is left for: all of it was cancelled.
homes as (
    select line_id, first(location_id order by rank, location_id) as location_id,
        first(location order by rank, location_id) as location
    from (
        select line_id, location_id, location, 1 as rank from detail where kind = 'CANCEL' and location_id is not null
        union all
        select line_id, location_id, location, 2 from routed where location_id is not null
    )
    group by line_id
),
placed as (
    select 'PLACE' as kind, line_id, location_id, location, total as quantity, null as posted_at, 'routed' as part
    from routed
    where total > 0
    union all
    -- What is to be sent no more was placed once.
    select 'PLACE', items.id, homes.location_id, homes.location,
        items.quantity - coalesce(kept.total, 0), null, 'rest'
    from items
    left join (select line_id, sum(total) as total from routed group by line_id) as kept on kept.line_id = items.id
    left join homes on homes.line_id = items.id
    where items.quantity > coalesce(kept.total, 0)
),
changed as (
    select kind, line_id, coalesce(detail.location_id, homes.location_id) as location_id,
        coalesce(detail.location, homes.location) as location, quantity, posted_at, detail.id as part
    from detail
    left join homes using (line_id)
    where kind in ('CANCEL', 'RESTOCK', 'SHIP')
    union all
    select 'SHIP', routed.line_id, coalesce(fulfilments[1].location.id, routed.location_id),
        coalesce(fulfilments[1].location.name, routed.location), routed.sent, fulfilments[1].createdAt, 'sent'
    from routed
    join items on items.id = routed.line_id
    join orders on orders.id = items.order_id
    where routed.sent > 0 and len(fulfilments) = 1
)
select
    items.number as source_line,
    event.kind,
    orders.name as ref,
    regexp_extract(orders.id, '\d+$') as order_id,
    regexp_extract(items.id, '\d+$') as line_id,
    items.sku,
    items.variant_id,
    event.location,
    regexp_extract(event.location_id, '\d+$') as location_id,
    event.quantity::varchar as quantity,
    coalesce(event.posted_at, orders.created_at) as posted_at,
    concat_ws('/', event.kind, regexp_extract(items.id, '\d+$'), regexp_extract(event.location_id, '\d+$'), event.part)
        as event_id
from (select * from placed union all select * from changed) as event
join items on items.id = event.line_id
join orders on orders.id = items.order_id
