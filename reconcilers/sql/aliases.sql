-- Pairs of SKUs that each only one side knows, and whose numbers mirror at every location.
-- In: breaks (sku, location, class, quantity_a, quantity_b).
with missing as (
    select
        sku,
        if(class = 'MISSING_IN_B', 'a', 'b') as side,
        -- what the side shows, location by location: the fingerprint of an article
        list(location || '=' || coalesce(quantity_a, quantity_b)::varchar order by location)::varchar as shown,
        -- as it is spelt but for case, signs and leading zeros
        ltrim(regexp_replace(lower(sku), '[^\p{L}\p{N}]', '', 'g'), '0') as spelt,
        sum(coalesce(quantity_a, quantity_b)) as units,
        count(*) filter (coalesce(quantity_a, quantity_b) <> 0) as shelves,
        count(*) as locations
    from breaks
    where class in ('MISSING_IN_A', 'MISSING_IN_B')
    group by all
    having units > 0
)
select
    a.sku as sku_a, b.sku as sku_b, a.units, a.locations,
    round(jaro_winkler_similarity(lower(a.sku), lower(b.sku)), 2) as score,
    -- one number of two articles may be the same by chance; so may names be alike that count up
    if(
        a.spelt = b.spelt and a.spelt <> '',
        count(*) over (partition by a.spelt, b.spelt) = 1,
        count(*) over (partition by a.shown) = 1 and a.shelves >= 3
    ) as sure
from missing a
join missing b on b.shown = a.shown and b.side = 'b'
where a.side = 'a'
-- a number that several articles show proves nothing, unless their names are all but the same
qualify (count(*) over (partition by a.shown) = 1 or score >= 0.9)
    and row_number() over (partition by a.sku order by score desc, b.sku) = 1
    and row_number() over (partition by b.sku order by score desc, a.sku) = 1
order by score desc, a.locations desc, a.units desc, a.sku
limit 100
