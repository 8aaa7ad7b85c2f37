-- Breaks with more causes before those that they have; a cause that is told twice stands once.
-- In: breaks (breaks_schema), found (sku, location, reason, quantity, evidence).
with added as (
    select
        sku, location,
        list(
            {'reason': reason, 'quantity': quantity::varchar, 'evidence': evidence} order by evidence
        ) as causes
    from found group by sku, location
)
select b.* replace (
    if(
        a.causes is null,
        b.causes,
        to_json(a.causes || list_filter(
            from_json(b.causes, '[{"reason": "VARCHAR", "quantity": "VARCHAR", "evidence": "VARCHAR"}]'),
            lambda c: not list_contains(a.causes, c)
        ))::varchar
    ) as causes
)
from breaks b left join added a using (sku, location)
