import time,numpy as np
from tests.bench import market_universe as U
from searcher.kernels import scan,cycles,book as L
from searcher.opportunities.book import CycleBook,Scope
u=U.make()
def mk(h):
    sc=Scope(tuple(u.address(i) for i in range(5)),(0.,)*5,(2.**112,)*5,2,h,frozenset(),frozenset(),frozenset(),frozenset(),2_000_000)
    b=CycleBook(u.memory,sc,native=u.address(0))
    t=time.time(); b.enter_all((r,u.address(a),u.address(c)) for r,(a,c) in enumerate(u.tokens.tolist())); print('enter',time.time()-t)
    t=time.time(); b.settle(); print('settle',time.time()-t)
    b.refresh_all(); b.price(gas_price_wei=10**9,overhead_gas=75000,least_worth_wei=0)
    return b
def tm(f,*a,n=300):
    f(*a)
    ts=[]
    for _ in range(n):
        t=time.perf_counter_ns(); f(*a); ts.append(time.perf_counter_ns()-t)
    return np.median(ts)/1e3, np.percentile(ts,10)/1e3, np.percentile(ts,99)/1e3
b=mk(3)
cnt=b._group[:,L.COUNT]
R=b._route[:b.statistics().cycles]; two=R[:,2]==0
n2=(cnt[R[two,0]]*(cnt[R[two,0]]-1)).sum(); n3=(cnt[R[~two,0]]*cnt[R[~two,1]]*cnt[R[~two,2]]).sum()
print('pool-level',n2,n3, 'token cycles',two.sum(),(~two).sum())
print(b.statistics(), 'screen',tm(scan.screen,b.table), scan.screen(b.table),'refresh',tm(scan.refresh_all,u.memory.table,b.table,n=20))
print('search_all 96',tm(lambda: scan.search_all(b._market,b.table,96,96)),scan.search_all(b._market,b.table,96,96), '3:',tm(lambda: scan.search_all(b._market,b.table,3,3)))
rng=np.random.default_rng(3)
T,B=u.memory.table,b.table
ex=u.memory.exact
def ints(row,move):
    w=[int.from_bytes(ex[2*row+k].tobytes(),'little') for k in range(2)]
    if u.concentrated[row]:
        sp=int(w[0]*move**.5); import math
        tick=math.floor(2*math.log(sp/2**96)/math.log(1.0001)); 
        return (row,sp,w[1],tick)
    return (row,int(w[0]*move),int(w[1]/move),0)
from searcher.kernels._jit import direct
D,UP=direct(scan.detect),direct(scan.update)
for dist,p in (('uniform',None),('activity',u.activity)):
    rows=rng.choice(45000,6000,p=p); 
    for sd in (.001,.01):
        for nm,f,extra in (('detect',D,()),('update',UP,(3,))):
            lat=[];hit=0
            for r in rows.tolist():
                a=ints(r,1.0); n=ints(r,float(np.exp(rng.normal(0,sd))))
                f(T,B,*a,*extra)
                t=time.perf_counter_ns(); k=f(T,B,*n,*extra); d=time.perf_counter_ns()-t
                lat.append((d,k)); hit+=k>0
                f(T,B,*a,*extra)
            L1=np.array([x for x,_ in lat]); L2=np.array([x for x,k in lat if k>0] or [0])
            print(dist,sd,nm,'med %.2f p99 %.2f p99.9 %.2f us'%tuple(np.percentile(L1,[50,99,99.9])/1e3),'hits',hit,'on hits med %.2f p99 %.2f'%tuple(np.percentile(L2,[50,99])/1e3))
