-- The raw statement: join, subtract the open orders, write a table of the columns of levels for all keys.
-- It knows no profiles, no instants, no documents, no reasons and no history.
copy (
    with line as (
        select sku, location, sum(quantity) as open
        from (
            select sku, location, quantity from '{events_a}'
            union all
            select sku, location, -quantity from '{events_b}'
        )
        group by all
        having sum(quantity) <> 0
    )
    select
        'storefront~erp' as pair,
        sku, location,
        a.quantity as quantity_a, timestamptz '2026-11-23 02:00:00+00' as as_of_a,
        b.quantity as quantity_b, timestamptz '2026-11-23 02:00:00+00' as as_of_b,
        a.quantity - b.quantity as raw_diff,
        -coalesce(open, 0) as expected_diff,
        a.quantity - b.quantity + coalesce(open, 0) as unexplained,
        unexplained as unexplained_lo,
        unexplained as unexplained_hi,
        case
            when a.quantity is null then 'MISSING_IN_A'
            when b.quantity is null then 'MISSING_IN_B'
            when unexplained <> 0 then 'BREAK'
            when open <> 0 then 'IN_FLIGHT'
            else 'MATCHED'
        end as class,
        case when unexplained <> 0 then 'UNEXPLAINED' when open <> 0 then 'ORDER_OPEN' end as reason,
        b.quantity - coalesce(open, 0) as atp,
        greatest(0, floor(atp)) as publish
    from '{stock_a}' a
    full join '{stock_b}' b using (sku, location)
    left join line using (sku, location)
) to '{output}' (format parquet, compression zstd)
