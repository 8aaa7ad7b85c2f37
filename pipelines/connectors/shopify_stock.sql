-- Stock levels out of a bulk export.
-- In: line (number, json, id, parent): inventory items, and below each its levels.
select
    level.number as source_line,
    nullif(trim(item.json ->> '$.sku'), '') as sku,
    level.json ->> '$.location.name' as location,
    regexp_extract(level.json ->> '$.location.id', '\d+$') as location_id,
    regexp_extract(item.id, '\d+$') as inventory_item_id,
    level.json ->> '$.available[0].quantity' as available,
    level.json ->> '$.on_hand[0].quantity' as on_hand,
    level.json ->> '$.committed[0].quantity' as committed,
    level.json ->> '$.incoming[0].quantity' as incoming,
    level.json ->> '$.updatedAt' as updated_at,
    -- What the shop does not count has a number that means nothing.
    case when item.json ->> '$.tracked' = 'false' then level.json::varchar end as untracked
from line as level
join line as item on item.id = level.parent
