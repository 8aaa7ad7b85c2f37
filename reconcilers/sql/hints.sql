-- Suspicions that no key contradicts, told at the keys that they explain.
-- In: what suspicions.sql makes, settled and unsettled (rows of the view `shown`), posting.
create temp view any_key as from settled union all from unsettled;

create temp view other_posting as
from posting
semi join (from any_key where quantity_a is not null and quantity_b is not null) using (sku, location)
anti join odd using (sku, location);

delete from suspicion
where case reason
    -- a number with a fraction, on the side that is supposed to have none
    when 'ROUNDING' then exists (
        from any_key where if(side = 'a', quantity_a <> floor(quantity_a), quantity_b <> floor(quantity_b))
    )
    -- a number that would be wrong, were it of that kind
    when 'BASIS_MISMATCH' then (side, what) in (select side, name from otherwise('other_posting'))
    -- something posted in those hours that the number has not
    when 'TIMEZONE' then side in (select side from entered('other_posting'))
end;

insert into hint
select
    sku, location, unexplained, reason,
    string_agg(
        if(side = 'a', 'the target ', 'the authority ')
            || if(reason = 'BASIS_MISMATCH', 'moves as ' || what || ' does, at ' || keys::varchar || ' keys', what),
        ', or ' order by side
    )
from evidence join suspicion using (reason, side, what)
where fits
group by sku, location, unexplained, reason;
