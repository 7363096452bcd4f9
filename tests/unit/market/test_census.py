from __future__ import annotations

import pytest

from searcher.domain.errors import Misconfigured
from searcher.domain.events import BlockRef, Log
from searcher.market.announcing import AnnouncedPools
from searcher.market.census import Census
from searcher.market.protocol import PROTOCOLS
from searcher.market.settings import DexSettings
from tests.unit.market.listing_node import ListingNode, address, padded, topic, words

FACTORY, OTHER, VAULT, POOL, PAIR = map(address, (0xFA, 0xFB, 0xBA, 0xA001, 0xA002))
A, B, C = map(address, (0x0A, 0x0B, 0x0C))
HEAD = BlockRef(1000, "0x" + "ab" * 32)
PAIR_CREATED = topic("PairCreated(address,address,bool,address,uint256)")
FOLLOWED = [name for name in PROTOCOLS.names() if issubclass(PROTOCOLS.load(name), AnnouncedPools)]


def census_of(**dexes):
    made = {name: DexSettings(**dex) for name, dex in dexes.items()}
    protocols = {}
    for name, dex in made.items():
        kind = PROTOCOLS.load(dex.protocol)
        protocols[name] = kind(kind.Config())
    return Census("test", made, protocols)


def pair_created(pair=POOL, emitter=FACTORY, tokens=(A, B), stable=0):
    return Log(
        address=emitter,
        topics=(PAIR_CREATED, padded(tokens[0]), padded(tokens[1])),
        data=words(stable, pair, 1),
    )


@pytest.fixture
def solidly():
    return census_of(dex={"protocol": "solidly", "factory": FACTORY})


def test_a_factory_is_believed_and_nobody_else(solidly):
    (found,) = solidly.take(pair_created())
    assert (found.dex, found.id, found.tokens) == ("dex", POOL, (A, B))
    assert solidly.take(pair_created(emitter=OTHER)) == []
    assert not solidly.announces(pair_created(emitter=OTHER))
    other_event = Log(address=FACTORY, topics=(topic("Sync(uint112,uint112)"),), data="0x")
    assert solidly.take(other_event) == []
    assert solidly.take(Log(address=FACTORY, topics=(), data="0x")) == []
    assert solidly.statistics().found == 1
    assert solidly.statistics().refused == {}


HOSTILE = {
    "no data": {"data": "0x"},
    "half a word": {"data": words(0, POOL, 1)[:-2]},
    "more data": {"data": words(0, POOL, 1, 1)},
    "not hex": {"data": "0x" + "zz" * 96},
    "a topic less": {"topics": (PAIR_CREATED, padded(A))},
    "a topic more": {"topics": (PAIR_CREATED, padded(A), padded(B), padded(C))},
    "a token with itself": {"topics": (PAIR_CREATED, padded(A), padded(A))},
    "a token that is none": {"topics": (PAIR_CREATED, "0x" + "ff" * 32, padded(B))},
    "a short topic": {"topics": (PAIR_CREATED, "0x12", padded(B))},
    "neither kind": {"data": words(2, POOL, 1)},
    "a pool at the zero address": {"data": words(0, 0, 1)},
    "a pool that is none": {"data": words(0, 2**160, 1)},
}


@pytest.mark.parametrize("fields", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_is_not_the_event_is_counted_and_announces_nothing(solidly, fields):
    good = pair_created()
    bad = Log(
        address=FACTORY,
        topics=fields.get("topics", good.topics),
        data=fields.get("data", good.data),
    )
    assert solidly.take(bad) == []
    assert solidly.statistics().refused == {"dex: malformed announcement": 1}
    assert len(solidly.take(good)) == 1


def test_the_same_events_of_the_others_are_refused_alike():
    """Each protocol's events, with nothing in them."""
    for name in FOLLOWED:
        settings = {"protocol": name}
        if "balancer" in name:
            settings |= {"vault": VAULT, "factories": [FACTORY]}
        else:
            settings |= {"factory": FACTORY}
        if name == "curve_meta":
            settings |= {"base_pools": [{"address": POOL, "contract": "3pool"}]}
        census = census_of(dex=settings)
        protocol = PROTOCOLS.load(name)
        emitter = VAULT if "balancer_v3" in name else FACTORY
        for event in protocol.created_topics:
            for topics in ((event,), (event, "0x12", "0x34", "0x56")):
                for data in ("0x", "0x12", "0x" + "ff" * 32):
                    assert census.take(Log(address=emitter, topics=topics, data=data)) == []
        tries = 6 * len(protocol.created_topics)
        assert census.statistics().refused == {"dex: malformed announcement": tries}, name
        assert census.waiting().announcements == ()


def created_in_a_vault():
    """A node and a census that a vault's pool was announced to."""
    created = Log(address=FACTORY, topics=(topic("PoolCreated(address)"), padded(POOL)), data="0x")
    census = census_of(
        dex={"protocol": "balancer_v2_weighted", "vault": VAULT, "factories": [FACTORY]}
    )
    assert census.take(created) == []
    assert len(census.waiting().announcements) == 1
    pool_id = POOL + "0002" + "00" * 9 + "07"
    node = ListingNode()
    node.view(POOL, "getPoolId()", pool_id)
    tokens = words(96, 192, 5, 2, A, B, 2, 10, 20)
    node.view(VAULT, "getPoolTokens(bytes32)", tokens, pool_id)
    return node, census, pool_id


async def test_completed_pools_have_an_id_and_tokens():
    node, census, pool_id = created_in_a_vault()
    (found,) = await census.complete(node, HEAD, batch_calls=10)
    assert (found.id, found.address, found.tokens) == (f"{VAULT}/{pool_id}", VAULT, (A, B))
    assert census.waiting().announcements == ()
    assert await census.complete(node, HEAD, batch_calls=10) == []


@pytest.mark.parametrize("lie", ["another pool's id", "no id", "no tokens"])
async def test_a_pool_that_lies_about_its_id_is_counted(lie):
    node, census, pool_id = created_in_a_vault()
    if lie == "another pool's id":
        node.view(POOL, "getPoolId()", PAIR + pool_id[42:])
    elif lie == "no id":
        node.view(POOL, "getPoolId()", words(1, 2))
    else:
        node.view(VAULT, "getPoolTokens(bytes32)", words(2**255), pool_id)
    assert await census.complete(node, HEAD, batch_calls=10) == []
    assert census.statistics().refused == {"dex: not a pool": 1}


# ---- lists


def factory_node(pools, *, first=0):
    """A stableswap factory: (pool, implementation, base pool or None) each."""
    node = ListingNode()
    node.view(FACTORY, "pool_count()", words(first + len(pools)))
    for place, (pool, implementation, base) in enumerate(pools, start=first):
        node.view(FACTORY, "pool_list(uint256)", words(pool), place)
        node.view(FACTORY, "is_meta(address)", words(base is not None), pool)
        node.view(FACTORY, "get_implementation_address(address)", words(implementation), pool)
        if base is not None:
            node.view(FACTORY, "get_base_pool(address)", words(base), pool)
            node.view(FACTORY, "get_n_coins(address)", words(2 if base == A else 0), base)
    return node


BASIC, REBASING, UNKNOWN, META = map(address, (0x1A, 0x1B, 0x1C, 0x1D))
THREE = address(0x3333)
OWN = {"address": PAIR, "contract": "3pool", "lp_token": C}


async def test_a_stableswap_factorys_list_and_the_settings_own_pools():
    census = census_of(
        plain={
            "protocol": "curve_stable",
            "factory": FACTORY,
            "contracts": {BASIC: "factory", REBASING: "factory_balances"},
            "pools": [OWN],
        },
        meta={
            "protocol": "curve_meta",
            "factory": FACTORY,
            "contracts": {META: "factory"},
            "base_pools": [{"address": THREE, "contract": "3pool"}],
            "pools": [{"address": address(0xB0), "base_pool": THREE, "contract": "own_2020"}],
        },
    )
    pools = [
        (address(0x51), BASIC, None),
        (address(0x52), META, THREE),
        (address(0x53), UNKNOWN, None),
        (address(0x54), META, OTHER),
        (address(0x55), REBASING, None),
        (address(0x56), UNKNOWN, THREE),
    ]
    node = factory_node(pools)
    assert census.queries(None, 10**9) == []
    found, places = await census.read_lists(node, HEAD, {}, batch_calls=100)
    assert places == {"plain": 6, "meta": 6}
    assert [(f.dex, f.id) for f in found] == [
        ("plain", PAIR),
        ("plain", address(0x51)),
        ("plain", address(0x55)),
        ("meta", address(0xB0)),
        ("meta", address(0x52)),
    ]
    assert census.statistics().refused == {"plain: not a pool": 1, "meta: not a pool": 2}
    plain, meta = (PROTOCOLS.load(name) for name in ("curve_stable", "curve_meta"))
    identities = [
        (plain if f.dex == "plain" else meta)(
            (plain if f.dex == "plain" else meta).Config()
        ).identity(f)
        for f in found
    ]
    assert [i.contract.value for i in identities] == [
        "3pool",
        "factory",
        "factory_balances",
        "own_2020",
        "factory",
    ]
    assert identities[0].lp_token == C
    assert identities[4].base_pool.address == THREE


async def test_a_list_is_read_from_where_it_was_left():
    census = census_of(dex={"protocol": "curve_stable_ng", "factory": FACTORY})
    node = factory_node([(address(0x51), BASIC, None)])
    found, places = await census.read_lists(node, HEAD, {}, batch_calls=100)
    assert [f.id for f in found] == [address(0x51)]
    deployed = Log(
        address=FACTORY,
        topics=(topic("PlainPoolDeployed(address[],uint256,uint256,address)"),),
        data=words(128, 100, 4_000_000, C, 2, A, B),
    )
    assert census.take(deployed) == []
    assert census.waiting().lists == {"dex"}
    grown = factory_node([(address(0x52), BASIC, None)], first=1)
    found, places = await census.read_lists(grown, HEAD, places, batch_calls=100)
    assert [f.id for f in found] == [address(0x52)]
    assert places == {"dex": 2}
    assert census.waiting().lists == set()


async def test_metapools_of_ng_know_whose_their_base_pool_is():
    census = census_of(
        dex={
            "protocol": "curve_meta_ng",
            "factory": FACTORY,
            "base_pools": [{"address": THREE, "contract": "3pool", "lp_token": C}],
        }
    )
    node = factory_node(
        [(address(0x51), META, A), (address(0x52), META, THREE), (address(0x53), BASIC, None)]
    )
    found, _ = await census.read_lists(node, HEAD, {}, batch_calls=100)
    kind = PROTOCOLS.load("curve_meta_ng")
    own, older = (kind(kind.Config()).identity(f) for f in found)
    assert (own.base_factory, own.legacy_base_pool) == (FACTORY, None)
    assert (older.base_factory, older.legacy_base_pool.address) == (None, THREE)


async def test_crypto_factories_tell_by_events_and_by_list():
    census = census_of(dex={"protocol": "curve_tricrypto_ng", "factory": FACTORY})
    event = topic(
        "TricryptoPoolDeployed(address,string,string,address,address[3],address,bytes32,"
        "uint256,uint256,uint256,uint256,uint256,address)"
    )
    data = words(POOL, 480, 544, OTHER, A, B, C, OTHER, 0, 1, 2, 3, 4, 5, OTHER, 1, 0, 1, 0)
    (found,) = census.take(Log(address=FACTORY, topics=(event,), data=data))
    assert (found.id, found.tokens) == (POOL, (A, B, C))
    node = ListingNode()
    node.view(FACTORY, "pool_count()", words(1))
    node.view(FACTORY, "pool_list(uint256)", words(POOL), 0)
    (listed,), _ = await census.read_lists(node, HEAD, {}, batch_calls=10)
    assert (listed.id, listed.tokens) == (POOL, ())


async def test_a_list_that_lies_is_counted_and_stays_where_it_was():
    for count in (words(10**12), words(1, 2), None):
        census = census_of(dex={"protocol": "curve_stable_ng", "factory": FACTORY})
        node = ListingNode()
        node.view(FACTORY, "pool_count()", count)
        assert await census.read_lists(node, HEAD, {}, batch_calls=10) == ([], {})
        assert census.statistics().refused == {"dex: unreadable list": 1}


# ---- settings


def test_queries_let_the_node_choose_the_tokens():
    census = census_of(
        first={"protocol": "solidly", "factory": FACTORY, "first_block": 50},
        second={"protocol": "balancer_v2_stable", "vault": VAULT, "factories": [OTHER]},
    )
    (everything,) = census.queries(None, 100)
    assert set(everything.announcers) == {FACTORY, OTHER}
    vault, pairs = census.queries({B, A}, 100)
    assert (vault.announcers, len(vault.topics)) == ((OTHER,), 1)
    assert pairs.announcers == (FACTORY,)
    assert pairs.topics[1:] == ([padded(A), padded(B)], [padded(A), padded(B)])
    (early,) = census.queries(None, 49)
    assert early.announcers == (OTHER,)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"protocol": "solidly"}, "dexes.dex.factory is missing"),
        ({"protocol": "solidly", "factory": FACTORY, "vault": VAULT}, "vault has no meaning"),
        ({"protocol": "solidly", "factory": FACTORY, "fee_pips": 1}, "fee_pips has no meaning"),
        ({"protocol": "balancer_v3_stable", "vault": VAULT}, "dexes.dex.factories is missing"),
        ({"protocol": "curve_meta", "factory": FACTORY}, "dexes.dex.base_pools is missing"),
        (
            {"protocol": "curve_stable", "pools": [{"address": "0x12"}]},
            r"dexes\.dex\.pools\[0\]\.address",
        ),
        (
            {"protocol": "curve_stable", "pools": [{"address": POOL, "contract": "4pool"}]},
            "did you mean '3pool'",
        ),
        (
            {"protocol": "curve_stable", "factory": FACTORY, "contracts": {BASIC: "factori"}},
            "did you mean 'factory'",
        ),
        (
            {"protocol": "curve_stable", "factory": FACTORY, "contracts": {"0x1": "factory"}},
            "is not an address",
        ),
        (
            {
                "protocol": "curve_meta",
                "base_pools": [{"address": THREE}],
                "pools": [{"address": POOL, "base_pool": PAIR}],
            },
            "write it in base_pools too",
        ),
    ],
)
def test_settings_that_do_not_fit_are_explained(settings, message):
    with pytest.raises(Misconfigured, match=message):
        census_of(dex=settings)


def test_two_dexes_of_one_factory_are_one_too_many():
    dex = {"protocol": "solidly", "factory": FACTORY}
    with pytest.raises(Misconfigured, match="leave one of them out"):
        census_of(one=dex, two=dex)
    # A vault, and a factory of plain pools and metapools, are shared.
    census_of(
        one={"protocol": "curve_stable_ng", "factory": FACTORY},
        two={"protocol": "curve_meta_ng", "factory": FACTORY},
    )
