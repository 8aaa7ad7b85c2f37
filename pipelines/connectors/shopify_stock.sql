-- Stock levels out of a bulk export.
-- In: line (number, json, id, parent): inventory items, and below each its levels.
with items as (
    select
        id,
        nullif(trim(json ->> '$.sku'), '') as sku,
        json ->> '$.tracked' = 'false' as untracked
    from line
    where parent is null
),
-- Read into a structure at once: each path by itself would parse the line again.
levels as (
    select
        number,
        parent,
        json,
        from_json(
            json,
            '{"location": {"id": "VARCHAR", "name": "VARCHAR"}, "available": [{"quantity": "VARCHAR"}],
              "on_hand": [{"quantity": "VARCHAR"}], "committed": [{"quantity": "VARCHAR"}],
              "incoming": [{"quantity": "VARCHAR"}], "updatedAt": "VARCHAR"}'
        ) as level
    from line
    where parent is not null
)
select
    levels.number as source_line,
    items.sku,
    level.location.name as location,
    regexp_extract(level.location.id, '\d+$') as location_id,
    regexp_extract(items.id, '\d+$') as inventory_item_id,
    level.available[1].quantity as available,
    level.on_hand[1].quantity as on_hand,
    level.committed[1].quantity as committed,
    level.incoming[1].quantity as incoming,
    level.updatedAt as updated_at,
    -- What the shop does not count has a number that means nothing.
    case when items.untracked then levels.json::varchar end as untracked
from levels
join items on items.id = levels.parent
