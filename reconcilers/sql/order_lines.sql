-- The lines and the orders of both sides, with second documents of one order taken out (DOMAIN 2.6).
-- In: given (a row an exported row of either side).

-- The value that all rows of a line agree on, or the first and the last of them.
create or replace temp macro told(x) as if(min(x) = max(x), min(x), min(x) || ' + ' || max(x));

-- Rows of one line add up, where it has several. A price is that of one unit; where rows have several, their mean by quantity,
-- in whole steps of the smallest decimal place: no digit goes through a float.
create or replace temp macro mean(gross, weight) as (
    replace(gross::varchar, '.', '')::hugeint // nullif(replace(weight::varchar, '.', '')::hugeint, 0)
)::decimal(18, 0) * getvariable('step')::decimal(10, 9);

create or replace temp table repeated as
select side, ref, line from given group by all having count(*) > 1;

-- One row a line.
create or replace temp table line as
select *, worth(side, gross, discount, tax) as amount
from (
    select * exclude (doc), 1 as rows, doc as first_doc, doc as last_doc, weight * price as gross
    from given anti join repeated using (side, ref, line)
    union all by name
    {lines_of_repeated}
);

create or replace temp table crowded as
select side, ref from line
group by side, ref
having sum(rows) > count(*) or min(first_doc) <> max(last_doc);

-- What a row without a document number belongs to: the copies of a row that is there again and again
-- are the first document, the second and so on.
create or replace temp table exported as
select
    * exclude (doc),
    doc is not null as has_doc,
    coalesce(doc, 'copy ' || (row_number() over copies)::varchar) as doc
from given semi join crowded using (side, ref)
window copies as (partition by side, ref, line, sku, quantity, price, discount, tax, doc order by placed_at, total);

-- The documents of an order in the order in which they came; those that are cancelled come last.
create or replace temp table document as
select
    side, ref, doc,
    any_value(has_doc) as has_doc,
    count(distinct line) as lines,
    coalesce(bool_and(status = 'cancelled'), false) as cancelled,
    max(total) as total,
    max(charges) as charges,
    row_number() over (partition by side, ref order by cancelled, min(placed_at) nulls last, doc) as place
from exported
group by side, ref, doc;

-- A later document is a duplicate if the ones before it have everything that the other side ordered of
-- each of its lines; parts of an order that go out from several places are none. Rows without document
-- numbers say so only where every line of the order is there again.
create or replace temp table duplicate as
with
share as (
    select side, ref, doc, line, sum(weight) as weight from exported group by all
),
before as (
    select
        s.*, d.place, d.has_doc, d.cancelled, d.lines,
        coalesce(sum(weight) over earlier, 0) as earlier
    from share s join document d using (side, ref, doc)
    window earlier as (
        partition by side, ref, line order by place rows between unbounded preceding and 1 preceding
    )
),
whole as (
    select side, ref, count(distinct line) as lines from exported group by all
)
select b.side, b.ref, b.doc, any_value(b.cancelled) as cancelled
from before b
join whole w using (side, ref)
left join line o on o.side <> b.side and o.ref = b.ref and o.line = b.line
group by b.side, b.ref, b.doc
having min(b.place) > 1
    and bool_and(b.earlier > 0 and b.earlier >= coalesce(o.weight, 0))
    and (bool_and(b.has_doc) or any_value(b.lines) = any_value(w.lines));

create or replace temp view kept as from exported anti join duplicate using (side, ref, doc);

-- What is there twice does not count.
delete from line where (side, ref) in (select (side, ref) from duplicate);

insert into line by name
select *, worth(side, gross, discount, tax) as amount
from ({lines_of_kept}) semi join duplicate using (side, ref);

-- One row an order. Its total and charges are those of its documents, each of which may repeat them in every row.
create or replace temp table head as
with paid as (
    select side, ref, sum(total) as total, sum(charges) as charges
    from document anti join duplicate using (side, ref, doc)
    group by all
)
select
    l.side, l.ref,
    sum(l.amount) as amount,
    bool_and(l.amount is not null) as priced,
    coalesce(any_value(p.total), max(l.total)) as total,
    coalesce(any_value(p.charges), max(l.charges)) as charges,
    told(l.currency) as currency,
    min(l.placed_at) as placed_at,
    max(l.changed_at) as changed_at,
    coalesce(bool_and(l.status = 'cancelled'), false) as cancelled
from line l left join paid p using (side, ref)
group by l.side, l.ref;

create or replace temp table common as
select ref from head group by ref having count(*) = 2;
