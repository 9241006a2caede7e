#!/usr/bin/env python3
"""Speed of autoencoder toolkits against plain PyTorch and against the machine's limit (CPU).

Work items (float32 everywhere):
  W1  train  60000x784, 784-512-64-512-784 ReLU, MSE, Adam 1e-3, batch 256, 2 epochs    -> samples/s
  W2  encode 60000x784 -> 64 with the encoder of W1                                     -> rows/s
  W3  train  1797x64, 64-16-64, batch 32, 50 epochs (framework overhead dominates)      -> us/step
  W4  train  sparse overcomplete TopK: N=256, M=8192, k=32, batch 1024, 20 steps        -> steps/s

Every system runs in its own worker process (imports and warm-up are not timed); the parent then
goes round-robin over the workers, so that a drift of the machine's speed hits all systems alike.
A run during which other processes used the CPUs (read from /proc/stat) is repeated. A system whose
packages are missing is skipped. Quoted: the median of the clean runs, and the
median over the rounds of the ratio to the yardstick's run of the same round.

  python bench_peers.py                                # all work items, all installed systems
  python bench_peers.py --work W1 --systems plain,fused,limit --repeats 5
  python bench_peers.py --json out.json ; python bench_peers.py --report out.json
  python bench_peers.py --profile W4:dense             # torch.profiler, top operators
"""
import argparse, collections, contextlib, ctypes, fcntl, functools, importlib.util, json, os, select
import statistics, subprocess, sys, tempfile, time

WORKS = {
    "W1": dict(kind="train", n=60000, dims=(784, 512, 64, 512, 784), batch=256, epochs=2),
    "W2": dict(kind="encode", n=60000, dims=(784, 512, 64, 512, 784), batch=256, epochs=1),
    "W3": dict(kind="train", n=1797, dims=(64, 16, 64), batch=32, epochs=50),
    "W4": dict(kind="sparse", n=20 * 1024, N=256, M=8192, k=32, batch=1024, epochs=1),
}
CORES = os.cpu_count()
now = time.perf_counter
System = collections.namedtuple("System", "name works needs make threads note")
SYSTEMS = []


def system(name, works, needs, note="", threads=None, **opts):
    """Register make(job, **opts) -> run(X, epochs) -> (seconds, samples, steps[, extra dict])."""
    def register(make):
        SYSTEMS.append(System(name, works.split(), needs.split(), functools.partial(make, **opts), threads, note))
        return make
    return register


class Job:
    """One work item inside a worker: sizes, data, thread count."""
    def __init__(self, work, threads):
        self.__dict__.update(WORKS[work], work=work, threads=threads)

    @functools.cached_property
    def X(self):
        import numpy as np
        rng = np.random.default_rng(0)
        if self.kind == "sparse":
            return rng.standard_normal((self.n, self.N), dtype=np.float32)
        return rng.random((self.n, self.dims[0]), dtype=np.float32)

    def warm_rows(self):  # a few batches plus the same tail batch as the full data (shape-specialised compilers)
        return min(self.n, 4 * self.batch + self.n % self.batch)


# ---------------------------------------------------------------- shared torch pieces

def torch_ae(dims):
    import torch
    from torch import nn
    torch.manual_seed(0)
    half, blocks = (len(dims) - 1) // 2, []
    for i, (a, b) in enumerate(zip(dims, dims[1:])):
        blocks += [nn.Linear(a, b)] + ([nn.ReLU()] if i < len(dims) - 2 else [])

    class AE(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.decoder = nn.Sequential(*blocks[:2 * half]), nn.Sequential(*blocks[2 * half:])

        def forward(self, x):
            return self.decoder(self.encoder(x))
    return AE()


def keep_freed_memory():
    """Ask glibc to keep freed blocks in the heap, so that large temporaries are not mapped and faulted in again."""
    M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
    libc = ctypes.CDLL(None)
    libc.mallopt(M_MMAP_MAX, 0)
    libc.mallopt(M_TRIM_THRESHOLD, 2 ** 31 - 1)


def n_steps(n, batch, drop_last=False):
    return n // batch if drop_last else -(-n // batch)


# ---------------------------------------------------------------- W1/W3: training systems

@system("plain", "W1 W3", "torch", "randperm + index_select per batch, default Adam (the yardstick)")
@system("plain_1t", "W1 W3", "torch", "randperm + index_select, default Adam, 1 thread", threads=1)
@system("foreach", "W1 W3", "torch", "plain with Adam(foreach=True)", adam=dict(foreach=True))
@system("fused", "W1 W3", "torch", "plain with Adam(fused=True)", adam=dict(fused=True))
@system("fused_mallopt", "W1", "torch", "fused, with mallopt so that freed memory stays mapped", adam=dict(fused=True), mallopt=True)
@system("fused_1t", "W1 W3", "torch", "plain with Adam(fused=True), 1 thread", threads=1, adam=dict(fused=True))
@system("fused_b1024", "W1", "torch", "plain with Adam(fused=True), batch 1024", batch=1024, adam=dict(fused=True))
@system("fused_item", "W1 W3", "torch", "plain with Adam(fused=True), loss.item() every step", adam=dict(fused=True), item=True)
@system("bf16", "W1", "torch", "plain with autocast bfloat16, fused Adam", adam=dict(fused=True), bf16=True)
@system("compile", "W1 W3", "torch", "torch.compile(model), fused Adam", adam=dict(fused=True), compiled=True)
def plain(job, adam={}, batch=None, item=False, bf16=False, compiled=False, mallopt=False):
    import torch
    import torch.nn.functional as F
    if mallopt:
        keep_freed_memory()
    model, B = torch_ae(job.dims), batch or job.batch
    opt = torch.optim.Adam(model.parameters(), lr=1e-3, **adam)
    fwd = torch.compile(model, dynamic=False) if compiled else model
    amp = (lambda: torch.autocast("cpu", torch.bfloat16)) if bf16 else contextlib.nullcontext

    def run(X, epochs):
        X = torch.from_numpy(X[:len(X) // 8] if bf16 else X)
        t0, total = now(), 0.0
        for _ in range(epochs):
            for idx in torch.randperm(len(X)).split(B):
                xb = X.index_select(0, idx)
                opt.zero_grad(set_to_none=True)
                with amp():
                    loss = F.mse_loss(fwd(xb), xb)
                loss.backward()
                opt.step()
                total += loss.item() if item else loss.detach()
        float(total)
        return now() - t0, epochs * len(X), epochs * n_steps(len(X), B)
    return run


@system("embudo", "W1 W3", "embudo", "Autoencoder.fit, all of it: checks, initialisation, loop (precision and threads as by default)")
def embudo_fit(job):
    from embudo import MLP, Adam, Autoencoder, Training
    half = len(job.dims) // 2

    def run(X, epochs):
        ae = Autoencoder(job.dims[half], encoder=MLP(job.dims[1:half]), code_activation="relu",
                         training=Training(epochs, batch_size=job.batch, optimizer=Adam(1e-3)), random_state=0)
        t0 = now()
        ae.fit(X)
        dt = now() - t0
        assert len(ae.history_["loss"]) == epochs
        return dt, epochs * len(X), epochs * n_steps(len(X), job.batch)
    return run


class Lean:
    """Hand-written step: flat parameter/gradient/moment buffers, reused activations, no autograd."""
    def __init__(self, dims, batch):
        import torch
        self.torch, self.dims, self.L = torch, dims, len(dims) - 1
        sizes = [s for a, b in zip(dims, dims[1:]) for s in (a * b, b)]
        self.flat = {k: torch.zeros(sum(sizes)) for k in "pgmv"}
        self.t = torch.zeros(())
        cut = lambda k: self.flat[k].split(sizes)
        pick = lambda k: ([w.view(b, a) for w, a, b in zip(cut(k)[::2], dims, dims[1:])], cut(k)[1::2])
        (self.W, self.b), (self.gW, self.gb) = pick("p"), pick("g")
        for src, w, b in zip([m for m in torch_ae(dims).modules() if isinstance(m, torch.nn.Linear)], self.W, self.b):
            w.copy_(src.weight.detach()), b.copy_(src.bias.detach())
        self.buffers = {}

    def space(self, rows):
        if rows not in self.buffers:
            e = self.torch.empty
            self.buffers[rows] = ([e(rows, d) for d in self.dims], [None] + [e(rows, d) for d in self.dims[1:]])
        return self.buffers[rows]

    def step(self, X, idx):
        torch, (A, G) = self.torch, self.space(len(idx))
        torch.index_select(X, 0, idx, out=A[0])
        for i in range(self.L):
            torch.addmm(self.b[i], A[i], self.W[i].t(), out=A[i + 1])
            if i < self.L - 1:
                A[i + 1].relu_()
        g = torch.sub(A[-1], A[0], out=G[-1])
        loss = torch.dot(g.view(-1), g.view(-1)) / g.numel()
        g.mul_(2 / g.numel())
        for i in reversed(range(self.L)):
            torch.mm(g.t(), A[i], out=self.gW[i])
            torch.sum(g, 0, out=self.gb[i])
            if i:
                g = torch.mm(g, self.W[i], out=G[i])
                torch.ops.aten.threshold_backward.grad_input(g, A[i], 0, grad_input=g)
        self.t += 1
        f = self.flat
        torch._fused_adam_([f["p"]], [f["g"]], [f["m"]], [f["v"]], [], [self.t], lr=1e-3, beta1=0.9, beta2=0.999,
                           weight_decay=0.0, eps=1e-8, amsgrad=False, maximize=False)
        return loss


@system("lean", "W1 W3", "torch", "hand-written backward, reused buffers, one flat fused Adam")
@system("lean_1t", "W1 W3", "torch", "lean, 1 thread", threads=1)
def lean(job):
    import torch
    net, B = Lean(job.dims, job.batch), job.batch

    @torch.inference_mode()
    def run(X, epochs):
        X, t0, total = torch.from_numpy(X), now(), 0.0
        for _ in range(epochs):
            for idx in torch.randperm(len(X)).split(B):
                total += net.step(X, idx)
        float(total)
        return now() - t0, epochs * len(X), epochs * n_steps(len(X), B)
    return run


@system("compile_step", "W1 W3", "torch", "whole step (fwd, hand-written bwd, Adam) in one torch.compile graph")
@system("compile_step_1t", "W3", "torch", "compile_step, 1 thread", threads=1)
@system("compile_8_1t", "W3", "torch", "8 steps unrolled in one torch.compile graph, 1 thread, drops the tail", threads=1, unroll=8)
def compile_step(job, unroll=1):
    import torch
    B, L = job.batch, len(job.dims) - 1
    P = [p.detach() for p in torch_ae(job.dims).parameters()]
    M, V = [torch.zeros_like(p) for p in P], [torch.zeros_like(p) for p in P]
    t = torch.zeros(())

    def step(x, P, M, V, t):
        A = [x]
        for i in range(L):
            y = torch.addmm(P[2 * i + 1], A[-1], P[2 * i].t())
            A.append(y.relu() if i < L - 1 else y)
        g = A[-1] - x
        loss = (g * g).mean()
        g = g * (2 / g.numel())
        t += 1
        c1, c2 = 1 - 0.9 ** t, (1 - 0.999 ** t).sqrt()
        for i in reversed(range(L)):
            grads = g.t() @ A[i], g.sum(0)
            if i:
                g = (g @ P[2 * i]) * (A[i] > 0)
            for j, d in zip((2 * i, 2 * i + 1), grads):
                M[j].lerp_(d, 0.1)
                V[j].mul_(0.999).addcmul_(d, d, value=0.001)
                P[j].sub_(1e-3 / c1 * M[j] / (V[j].sqrt() / c2 + 1e-8))
        return loss
    def steps(xs, P, M, V, t):
        return sum(step(x, P, M, V, t) for x in xs.unbind())
    fast = torch.compile(step if unroll == 1 else steps, dynamic=False)

    @torch.no_grad()
    def run(X, epochs):
        X, t0, total = torch.from_numpy(X), now(), 0.0
        if unroll > 1:
            if len(X) < unroll * B:
                return run(job.X, 1)
            groups = len(X) // (unroll * B)
            for _ in range(epochs):
                for idx in torch.randperm(len(X))[:groups * unroll * B].view(groups, -1):
                    total += fast(X.index_select(0, idx).view(unroll, B, -1), P, M, V, t)
            return now() - t0, epochs * groups * unroll * B, epochs * groups * unroll
        for _ in range(epochs):
            for idx in torch.randperm(len(X)).split(B):
                total += fast(X.index_select(0, idx), P, M, V, t)
        float(total)
        return now() - t0, epochs * len(X), epochs * n_steps(len(X), B)
    return run


@system("loader", "W1 W3", "torch", "DataLoader(TensorDataset), default collate, default Adam")
@system("loader_batched", "W1 W3", "torch", "DataLoader over a BatchSampler (batch_size=None), default Adam", batched=True)
def loader(job, batched=False):
    import torch
    import torch.nn.functional as F
    from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset
    model, B = torch_ae(job.dims), job.batch
    opt = torch.optim.Adam(model.parameters(), lr=1e-3)

    def run(X, epochs):
        data = TensorDataset(torch.from_numpy(X))
        if batched:
            data_loader = DataLoader(data, batch_size=None, sampler=BatchSampler(RandomSampler(data), B, False))
        else:
            data_loader = DataLoader(data, batch_size=B, shuffle=True)
        t0 = now()
        for _ in range(epochs):
            for xb, in data_loader:
                opt.zero_grad()
                F.mse_loss(model(xb), xb).backward()
                opt.step()
        return now() - t0, epochs * len(X), epochs * n_steps(len(X), B)
    return run


@system("sklearn_mlp", "W1 W3", "sklearn", "MLPRegressor(solver='adam').fit(X, X)")
def sklearn_mlp(job):
    import warnings
    from sklearn.neural_network import MLPRegressor
    warnings.simplefilter("ignore")

    def run(X, epochs):
        est = MLPRegressor(hidden_layer_sizes=job.dims[1:-1], solver="adam", alpha=0.0, batch_size=min(job.batch, len(X)), tol=0.0,
                           learning_rate_init=1e-3, max_iter=epochs, n_iter_no_change=10 ** 6, random_state=0)
        t0 = now()
        est.fit(X, X)
        dt = now() - t0
        assert est.n_iter_ == epochs and est.coefs_[0].dtype == X.dtype
        return dt, epochs * len(X), epochs * n_steps(len(X), job.batch)
    return run


@system("pyod", "W1 W3", "pyod torch", "AutoEncoder, no batch norm/dropout/preprocessing; its train() only")
@system("pyod_std", "W1 W3", "pyod torch", "pyod with its default preprocessing=True (standardises item by item)", preprocessing=True)
def pyod(job, preprocessing=False):
    from pyod.models.auto_encoder import AutoEncoder

    def run(X, epochs):
        det = AutoEncoder(hidden_neuron_list=list(job.dims[1:len(job.dims) // 2 + 1]), batch_norm=False, dropout_rate=0,
                          preprocessing=preprocessing, epoch_num=epochs, batch_size=job.batch, lr=1e-3, verbose=0,
                          optimizer_params={})
        train, took = det.train, []

        def timed(data_loader):
            t0 = now()
            train(data_loader)
            took.append(now() - t0)
        det.train = timed
        t0 = now()
        det.fit(X)
        steps = epochs * n_steps(len(X), job.batch, drop_last=True)
        return took[0], steps * job.batch, steps, {"fit_s": now() - t0}
    return run


@system("pythae", "W1 W3", "pythae torch", "AE + BaseTrainer, MLP encoder/decoder with the same layers")
def pythae(job):
    import numpy as np, torch
    from pythae.data.datasets import BaseDataset
    from pythae.trainers import BaseTrainer, BaseTrainerConfig
    model = pythae_model(job)

    def run(X, epochs):
        with tempfile.TemporaryDirectory() as tmp:
            cfg = BaseTrainerConfig(output_dir=tmp, per_device_train_batch_size=job.batch, num_epochs=epochs,
                                    learning_rate=1e-3, no_cuda=True)
            data = BaseDataset(torch.from_numpy(X), torch.zeros(len(X)))
            trainer = BaseTrainer(model, data, training_config=cfg)
            t0 = now()
            trainer.train()
            return now() - t0, epochs * len(X), epochs * n_steps(len(X), job.batch)
    return run


def pythae_model(job):
    from pythae.models import AE, AEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    net = torch_ae(job.dims)

    class Enc(BaseEncoder):
        def __init__(self):
            super().__init__()
            self.net = net.encoder

        def forward(self, x):
            return ModelOutput(embedding=self.net(x))

    class Dec(BaseDecoder):
        def __init__(self):
            super().__init__()
            self.net = net.decoder

        def forward(self, z):
            return ModelOutput(reconstruction=self.net(z))
    half = len(job.dims) // 2
    return AE(AEConfig(input_dim=(job.dims[0],), latent_dim=job.dims[half]), encoder=Enc(), decoder=Dec())


@system("keras_jax", "W1 W3", "keras jax", "keras.Model.fit, jax backend")
@system("keras_jax_spe", "W3", "keras jax", "keras_jax with steps_per_execution=16", spe=16)
def keras_jax(job, spe=1):
    os.environ["KERAS_BACKEND"] = "jax"
    import keras
    half = len(job.dims) // 2
    layers = [keras.layers.Dense(d, activation="relu" if i < len(job.dims) - 2 else None)
              for i, d in enumerate(job.dims[1:])]
    model = keras.Sequential([keras.Input((job.dims[0],))] + layers)
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss="mse", steps_per_execution=spe)
    model.encoder = keras.Sequential([keras.Input((job.dims[0],))] + layers[:half])
    job.keras_model = model

    def run(X, epochs):
        t0 = now()
        model.fit(X, X, batch_size=job.batch, epochs=epochs, verbose=0)
        return now() - t0, epochs * len(X), epochs * n_steps(len(X), job.batch)
    return run


@system("jax_scan", "W1 W3", "jax", "raw jax: a whole epoch in one jit (lax.scan), drops the tail batch")
def jax_scan(job):
    import jax, jax.numpy as jnp, numpy as np
    keys = jax.random.split(jax.random.key(0), len(job.dims))
    params = [(jax.random.normal(k, (a, b)) * (2 / a) ** .5, jnp.zeros(b)) for k, a, b in zip(keys, job.dims, job.dims[1:])]
    zeros = jax.tree.map(jnp.zeros_like, params)
    B = job.batch

    def loss(p, x):
        h = x
        for i, (W, b) in enumerate(p):
            h = h @ W + b
            h = jax.nn.relu(h) if i < len(p) - 1 else h
        return jnp.mean((h - x) ** 2)

    def step(X, carry, idx):
        p, m, v, t = carry
        l, g = jax.value_and_grad(loss)(p, X[idx])
        t = t + 1
        m = jax.tree.map(lambda m, g: .9 * m + .1 * g, m, g)
        v = jax.tree.map(lambda v, g: .999 * v + .001 * g * g, v, g)
        lr = 1e-3 * jnp.sqrt(1 - .999 ** t) / (1 - .9 ** t)
        return (jax.tree.map(lambda p, m, v: p - lr * m / (jnp.sqrt(v) + 1e-8), p, m, v), m, v, t), l

    @functools.partial(jax.jit, donate_argnums=1)
    def epoch(X, carry, order):
        return jax.lax.scan(functools.partial(step, X), carry, order)
    state = [(params, zeros, jax.tree.map(jnp.zeros_like, params), jnp.zeros(()))]
    on_device = {}

    def run(X, epochs):
        if len(X) < job.n:
            return run(job.X, 1)  # compile for the full shape
        rng, steps = np.random.default_rng(0), len(X) // B
        t0 = now()
        Xd = jnp.asarray(X)
        for _ in range(epochs):
            order = rng.permutation(len(X))[:steps * B].astype(np.int32).reshape(steps, B)
            state[0], l = epoch(Xd, state[0], order)
        jax.block_until_ready(l)
        return now() - t0, epochs * steps * B, epochs * steps
    return run


@system("lightning", "W1 W3", "lightning torch", "Trainer.fit, no logger/checkpoint/progress bar, DataLoader(TensorDataset)")
def lightning(job):
    import torch, warnings, logging
    import torch.nn.functional as F
    import lightning as L
    from torch.utils.data import DataLoader, TensorDataset
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Module(L.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = torch_ae(job.dims)

        def training_step(self, batch, _):
            return F.mse_loss(self.net(batch[0]), batch[0])

        def predict_step(self, batch, _):
            return self.net.encoder(batch[0])

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), lr=1e-3)
    module = job.lightning_module = Module()
    job.lightning_trainer = lambda epochs: L.Trainer(
        max_epochs=epochs, accelerator="cpu", devices=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False)

    def run(X, epochs):
        data_loader = DataLoader(TensorDataset(torch.from_numpy(X)), batch_size=job.batch, shuffle=True)
        t0 = now()
        job.lightning_trainer(epochs).fit(module, data_loader)
        return now() - t0, epochs * len(X), epochs * n_steps(len(X), job.batch)
    return run


@system("fabric", "W1 W3", "lightning torch", "Lightning Fabric loop, DataLoader(TensorDataset)")
def fabric(job):
    import torch
    import torch.nn.functional as F
    from lightning.fabric import Fabric
    from torch.utils.data import DataLoader, TensorDataset
    fab, model = Fabric(accelerator="cpu", devices=1), torch_ae(job.dims)
    model, opt = fab.setup(model, torch.optim.Adam(model.parameters(), lr=1e-3))

    def run(X, epochs):
        t0 = now()
        dl = fab.setup_dataloaders(DataLoader(TensorDataset(torch.from_numpy(X)), batch_size=job.batch, shuffle=True))
        for _ in range(epochs):
            for xb, in dl:
                opt.zero_grad()
                fab.backward(F.mse_loss(model(xb), xb))
                opt.step()
        return now() - t0, epochs * len(X), epochs * n_steps(len(X), job.batch)
    return run


@system("skorch", "W1 W3", "skorch torch", "NeuralNetRegressor.partial_fit(X, X), no validation split, no printing")
def skorch(job):
    import torch
    from skorch import NeuralNetRegressor
    net = NeuralNetRegressor(torch_ae(job.dims), optimizer=torch.optim.Adam, lr=1e-3, batch_size=job.batch,
                             train_split=None, iterator_train__shuffle=True, verbose=0).initialize()
    job.skorch_net = net

    def run(X, epochs):
        net.max_epochs = epochs
        t0 = now()
        net.partial_fit(X, X)
        return now() - t0, epochs * len(X), epochs * n_steps(len(X), job.batch)
    return run


@system("numpy", "W3", "numpy", "hand-written numpy step (matmul out=)", threads=1)
def numpy_step(job):
    import numpy as np
    rng, (d, h, _), B = np.random.default_rng(0), job.dims, job.batch
    sizes = (d * h, h, h * d, d)
    p = (rng.standard_normal(sum(sizes)) * 0.1).astype("f4")
    g, m, v, tmp = (np.zeros_like(p) for _ in range(4))
    cut = lambda a: [s.reshape(r) for s, r in zip(np.split(a, np.cumsum(sizes)[:-1]), ((d, h), (h,), (h, d), (d,)))]
    (W1, b1, W2, b2), (gW1, gb1, gW2, gb2) = cut(p), cut(g)
    t = [0]

    def run(X, epochs):
        t0, total = now(), 0.0
        for _ in range(epochs):
            order = rng.permutation(len(X))
            for i in range(0, len(X), B):
                x = X.take(order[i:i + B], 0)
                a = x @ W1
                a += b1
                np.maximum(a, 0, out=a)
                e = a @ W2
                e += b2
                e -= x
                total += float(np.vdot(e, e)) / e.size
                e *= 2 / e.size
                np.matmul(a.T, e, out=gW2)
                np.add.reduce(e, 0, out=gb2)
                ga = e @ W2.T
                ga *= a > 0
                np.matmul(x.T, ga, out=gW1)
                np.add.reduce(ga, 0, out=gb1)
                t[0] += 1
                np.multiply(g, 0.1, out=tmp); m.__imul__(0.9); m.__iadd__(tmp)
                np.multiply(g, g, out=tmp); tmp.__imul__(0.001); v.__imul__(0.999); v.__iadd__(tmp)
                np.sqrt(v, out=tmp); tmp.__iadd__(1e-8); np.divide(m, tmp, out=tmp)
                tmp.__imul__(1e-3 * (1 - 0.999 ** t[0]) ** .5 / (1 - 0.9 ** t[0])); p.__isub__(tmp)
        return now() - t0, epochs * len(X), epochs * n_steps(len(X), B), {"loss": total / n_steps(len(X), B) / epochs}
    return run


# ---------------------------------------------------------------- limits

C_SOURCE = r"""
#include <math.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
typedef float v8 __attribute__((vector_size(32)));
static double now(void){struct timespec t;clock_gettime(CLOCK_MONOTONIC,&t);return t.tv_sec+1e-9*t.tv_nsec;}
static void *fma_loop(void *arg){                       /* 12 independent 8-wide multiply-add chains */
  long n=*(long*)arg; v8 r[12], x={0}, y={0}; x+=0.999f; y+=1e-3f;
  for(int j=0;j<12;j++) r[j]=x*(float)j;
  for(long i=0;i<n;i++) for(int j=0;j<12;j++) r[j]=r[j]*x+y;
  volatile float sink=0; for(int j=0;j<12;j++) sink+=r[j][0]; return 0;}
double fma_gflops(int threads){ long n=40000000; pthread_t p[64]; double t=now();
  for(int i=0;i<threads;i++) pthread_create(&p[i],0,fma_loop,&n);
  for(int i=0;i<threads;i++) pthread_join(p[i],0);
  return threads*n*12.0*16/(now()-t)/1e9;}
#define D 64
#define H 16
#define B 32
/* C[M][N] = bias + A*B in 4x16 register tiles; A by strides, N a multiple of 16, M of 4 */
static inline __attribute__((always_inline)) void mm(int M,int K,int N,const float*A,int am,int ak,const float*Bm,float*C,const float*bias){
  for(int m=0;m<M;m+=4) for(int n=0;n<N;n+=16){ v8 c[4][2];
    for(int r=0;r<4;r++) for(int q=0;q<2;q++){ v8 z={0}; c[r][q]=bias?*(v8*)(bias+n+8*q):z; }
    for(int k=0;k<K;k++){ v8 b0=*(v8*)(Bm+k*N+n), b1=*(v8*)(Bm+k*N+n+8);
      for(int r=0;r<4;r++){ float x=A[(m+r)*am+k*ak]; c[r][0]+=x*b0; c[r][1]+=x*b1; } }
    for(int r=0;r<4;r++) for(int q=0;q<2;q++) *(v8*)(C+(m+r)*N+n+8*q)=c[r][q]; } }
/* training of a D-H-D autoencoder: batches through a permuted index, MSE, Adam; one thread */
double small_ae(const float *X,const int *order,int n,int epochs,float *W1,float *b1,float *W2,float *b2,double *secs){
  enum{P=2*D*H+D+H}; static float __attribute__((aligned(64))) g[P],m[P],v[P],p[P],x[B*D],a[B*H],e[B*D],ga[B*H],w2t[D*H];
  float *w1=p,*c1=p+D*H,*w2=p+D*H+H,*c2=p+2*D*H+H, *g1=g,*d1=g+D*H,*g2=g+D*H+H,*d2=g+2*D*H+H;
  memcpy(w1,W1,4*D*H);memcpy(c1,b1,4*H);memcpy(w2,W2,4*D*H);memcpy(c2,b2,4*D);
  memset(m,0,sizeof m);memset(v,0,sizeof v); double t0=now(),total=0,p1=1,p2=1; long steps=0;
  for(int ep=0;ep<epochs;ep++){ total=0;steps=0; for(int s=0;s<n;s+=B){ int R=n-s<B?n-s:B; float L=0;
    for(int r=0;r<R;r++) memcpy(x+r*D,X+(long)order[(long)ep*n+s+r]*D,4*D);
    mm(B,D,H,x,D,1,w1,a,c1); for(int i=0;i<B*H;i++) a[i]=a[i]>0?a[i]:0;
    mm(B,H,D,a,H,1,w2,e,c2);
    for(int i=0;i<R*D;i++){ float y=e[i]-x[i]; L+=y*y; e[i]=y*(2.f/(R*D)); }
    for(int i=R*D;i<B*D;i++) e[i]=0;                       /* rows past the tail batch */
    for(int j=0;j<H;j++) for(int i=0;i<D;i++) w2t[i*H+j]=w2[j*D+i];
    mm(H,B,D,a,1,H,e,g2,0); mm(B,D,H,e,D,1,w2t,ga,0);
    for(int i=0;i<B*H;i++) ga[i]=a[i]>0?ga[i]:0;
    mm(D,B,H,x,1,D,ga,g1,0);
    memset(d1,0,4*H);memset(d2,0,4*D);
    for(int r=0;r<B;r++){ for(int i=0;i<D;i++) d2[i]+=e[r*D+i]; for(int j=0;j<H;j++) d1[j]+=ga[r*H+j]; }
    p1*=.9;p2*=.999; float lr=1e-3*sqrt(1-p2)/(1-p1);
    for(int i=0;i<P;i++){ m[i]=.9f*m[i]+.1f*g[i]; v[i]=.999f*v[i]+.001f*g[i]*g[i]; p[i]-=lr*m[i]/(sqrtf(v[i])+1e-8f);}
    total+=L/(R*D); steps++; } }
  *secs=now()-t0; return total/steps; }
"""


def c_library():
    """Compile the yardstick kernels; None without a C compiler."""
    out = os.path.join(tempfile.mkdtemp(), "limit.so")
    cmd = ["cc", "-O3", "-march=native", "-ffast-math", "-funroll-loops", "-shared", "-fPIC", "-x", "c", "-", "-o", out,
           "-lpthread", "-lm"]
    try:
        subprocess.run(cmd, input=C_SOURCE.encode(), check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    lib = ctypes.CDLL(out)
    lib.fma_gflops.restype = lib.small_ae.restype = ctypes.c_double
    return lib


def step_matmuls(dims, B):
    """(kind, rows, inner, columns) of every matmul of one training step; no gradient for the input."""
    for i, (a, b) in enumerate(zip(dims, dims[1:])):
        yield "fwd", B, a, b
        yield "dW", b, B, a
        if i:
            yield "dX", B, b, a


def flops(shapes):
    return sum(2.0 * m * k * n for _, m, k, n in shapes)


def matmul_calls(shapes, library):
    """Bare matmuls on preallocated operands, in the operand layouts that the step has."""
    import numpy as np
    rng, calls = np.random.default_rng(0), []
    for kind, m, k, n in shapes:
        a = rng.random((k, m) if kind == "dW" else (m, k), dtype=np.float32)
        b = rng.random((n, k) if kind == "fwd" else (k, n), dtype=np.float32)
        a, b, c = (a.T if kind == "dW" else a), (b.T if kind == "fwd" else b), np.empty((m, n), np.float32)
        if library == "torch":
            import torch
            calls.append(functools.partial(torch.mm, torch.from_numpy(a), torch.from_numpy(b), out=torch.from_numpy(c)))
        else:
            calls.append(functools.partial(np.matmul, a, b, out=c))
    return calls


def timed(call, at_least=0.5):
    call()
    count, t0 = 0, now()
    while True:
        call()
        count += 1
        if now() - t0 > at_least:
            return (now() - t0) / count


def each(calls):
    for c in calls:
        c()


@system("limit_mkl", "W1 W2 W4", "torch", "bare matmuls of the step through torch.mm", library="torch")
@system("limit_openblas", "W1 W2 W4", "numpy", "bare matmuls of the step through numpy.matmul", library="numpy")
def limit_gemm(job, library):
    if job.work == "W4":
        dense = [("fwd", job.batch, job.N, job.M), ("fwd", job.batch, job.M, job.N), ("dX", job.batch, job.N, job.M),
                 ("dW", job.M, job.batch, job.N), ("dW", job.M, job.batch, job.N)]
        shapes = {"": dense[:1], "dense": dense}
    elif job.work == "W2":
        shapes = {"": [("fwd", job.n, 784, 512), ("fwd", job.n, 512, 64)],
                  "chunked": [("fwd", 1000, 784, 512), ("fwd", 1000, 512, 64)] * (job.n // 1000)}
    else:
        shapes = {"": list(step_matmuls(job.dims, job.batch))}
    calls = {k: matmul_calls(v, library) for k, v in shapes.items()}
    lib = c_library() if library == "torch" else None

    def run(X, epochs):
        extra = {}
        for key, cs in calls.items():
            secs = timed(lambda: each(cs), 0.2 if len(X) < job.n else 1.5)
            extra.update({f"gemm_s{key}": secs, f"gflop{key}": flops(shapes[key]) / 1e9})
        if library == "torch":
            import torch
            if lib:
                extra.update(fma_gflops=lib.fma_gflops(job.threads), fma_gflops_1t=lib.fma_gflops(1))
            count = 2 * job.M * job.N if job.work == "W4" else sum(a * b + b for a, b in zip(job.dims, job.dims[1:]))
            p, g, m, v = (torch.rand(count) for _ in range(4))
            t = torch.ones(())
            adam = lambda: torch._fused_adam_([p], [g], [m], [v], [], [t], lr=1e-3, beta1=.9, beta2=.999,
                                              weight_decay=0., eps=1e-8, amsgrad=False, maximize=False)
            triad = lambda: (torch.add(g, m, alpha=2., out=v), torch.add(p, m, alpha=2., out=g))
            extra.update(params=count, adam_s=timed(adam), bandwidth=24 * count / timed(triad) / 1e9)
            big = [torch.rand(30_000_000) for _ in range(3)]
            extra["dram_bandwidth"] = 12 * 3e7 / timed(lambda: torch.add(big[0], big[1], alpha=2., out=big[2])) / 1e9
            if job.work == "W1":
                idx, xb, Xt = torch.randperm(len(X)), torch.empty(job.batch, X.shape[1]), torch.from_numpy(X)
                parts = idx.split(job.batch)
                extra["gather_s"] = timed(lambda: [torch.index_select(Xt, 0, i, out=xb) for i in parts[:-1]]) / (len(parts) - 1)
        rows, s = (job.n if job.work == "W2" else job.batch), extra["gemm_s"]
        return s, rows, 1, extra
    return run


@system("limit_c", "W3", "numpy", "hand-written C loop, 1 thread, vectorised: the practical limit", threads=1)
def limit_c(job):
    import numpy as np
    lib, (d, h, _) = c_library(), job.dims
    if lib is None:
        raise ImportError("no C compiler")
    rng = np.random.default_rng(0)
    f4 = lambda *s: (rng.standard_normal(s) * 0.1).astype("f4")
    ptr = lambda a: a.ctypes.data_as(ctypes.c_void_p)

    def run(X, epochs):
        W1, b1, W2, b2 = f4(d, h), f4(h), f4(h, d), f4(d)
        order = np.concatenate([rng.permutation(len(X)) for _ in range(10 * epochs)]).astype(np.int32)
        secs = ctypes.c_double()
        loss = lib.small_ae(ptr(X), ptr(order), len(X), 10 * epochs, ptr(W1), ptr(b1), ptr(W2), ptr(b2), ctypes.byref(secs))
        return secs.value, 10 * epochs * len(X), 10 * epochs * n_steps(len(X), job.batch), {"loss": loss}
    return run


# ---------------------------------------------------------------- W2: encoding

def encode_result(t0, Z, n):
    import numpy as np
    Z = np.asarray(Z)
    assert Z.shape[0] == n, Z.shape
    return now() - t0, n, 1


@system("pca", "W2", "sklearn", "sklearn PCA(64).transform: 8.7x fewer operations than the encoder")
def pca(job):
    from sklearn.decomposition import PCA
    est = PCA(64, svd_solver="randomized", random_state=0).fit(job.X[:4000])

    def run(X, epochs):
        t0 = now()
        return encode_result(t0, est.transform(X), len(X))
    return run


@system("plain", "W2", "torch", "encoder(X), one call, inference_mode (the yardstick)")
@system("chunk_256", "W2", "torch", "encoder on slices of 256 rows into one output", chunk=256)
@system("chunk_1024", "W2", "torch", "encoder on slices of 1024 rows into one output", chunk=1024)
@system("chunk_4096", "W2", "torch", "encoder on slices of 4096 rows into one output", chunk=4096)
@system("chunk_1024_1t", "W2", "torch", "encoder on slices of 1024 rows, 1 thread", threads=1, chunk=1024)
@system("compile", "W2", "torch", "torch.compile(encoder) on slices of 1000 rows", chunk=1000, compiled=True)
def encode_plain(job, chunk=None, compiled=False):
    import torch
    enc = torch_ae(job.dims).encoder.eval()
    if compiled:
        enc = torch.compile(enc, dynamic=False)

    @torch.inference_mode()
    def run(X, epochs):
        X = torch.from_numpy(X if not compiled else X[:len(X) // chunk * chunk])
        t0 = now()
        if chunk is None:
            return encode_result(t0, enc(X), len(X))
        Z = torch.empty(len(X), job.dims[2])
        for i in range(0, len(X), chunk):
            Z[i:i + chunk] = enc(X[i:i + chunk])
        return encode_result(t0, Z, len(X))
    return run


@system("lean", "W2", "torch", "addmm(out=) into reused buffers, slices of 1000 rows")
def encode_lean(job, chunk=1000):
    import torch
    lin = [m for m in torch_ae(job.dims).encoder if isinstance(m, torch.nn.Linear)]
    (W1, b1), (W2, b2) = ((m.weight.t(), m.bias) for m in lin)
    hidden = torch.empty(chunk, job.dims[1])

    @torch.inference_mode()
    def run(X, epochs):
        X = torch.from_numpy(X)
        t0 = now()
        Z = torch.empty(len(X), job.dims[2])
        for i in range(0, len(X), chunk):
            z = Z[i:i + chunk]
            h = hidden[:len(z)]
            torch.addmm(b1, X[i:i + chunk], W1, out=h).relu_()
            torch.addmm(b2, h, W2, out=z).relu_()
        return encode_result(t0, Z, len(X))
    return run


@system("embudo", "W2", "embudo", "Autoencoder.transform, checks of X included")
def embudo_transform(job):
    from embudo import MLP, Autoencoder, Training
    ae = Autoencoder(job.dims[2], encoder=MLP(job.dims[1:2]), code_activation="relu",
                     training=Training(1), random_state=0).fit(job.X[:1000])

    def run(X, epochs):
        t0 = now()
        return encode_result(t0, ae.transform(X), len(X))
    return run


@system("loader", "W2", "torch", "DataLoader(TensorDataset), batch 256, torch.cat")
def encode_loader(job):
    import torch
    from torch.utils.data import DataLoader, TensorDataset
    enc = torch_ae(job.dims).encoder.eval()

    @torch.inference_mode()
    def run(X, epochs):
        t0 = now()
        parts = [enc(xb) for xb, in DataLoader(TensorDataset(torch.from_numpy(X)), batch_size=job.batch)]
        return encode_result(t0, torch.cat(parts), len(X))
    return run


@system("sklearn_mlp", "W2", "sklearn", "MLPRegressor.predict (full forward: it has no encode)")
def encode_sklearn(job):
    import warnings
    from sklearn.neural_network import MLPRegressor
    warnings.simplefilter("ignore")
    est = MLPRegressor(hidden_layer_sizes=job.dims[1:-1], max_iter=1, batch_size=256).fit(job.X[:256], job.X[:256])

    def run(X, epochs):
        t0 = now()
        return encode_result(t0, est.predict(X), len(X))
    return run


@system("pyod", "W2", "pyod torch", "decision_function, batch 256 (full forward + row distance: it has no encode)")
def encode_pyod(job):
    from pyod.models.auto_encoder import AutoEncoder
    det = AutoEncoder(hidden_neuron_list=[512, 64], batch_norm=False, dropout_rate=0, preprocessing=False, epoch_num=1,
                      batch_size=job.batch, verbose=0).fit(job.X[:1024])

    def run(X, epochs):
        t0 = now()
        return encode_result(t0, det.decision_function(X), len(X))
    return run


@system("pythae", "W2", "pythae torch", "AE.embed(X), one call under inference_mode (also decodes)")
def encode_pythae(job):
    import torch
    model = pythae_model(job).eval()

    @torch.inference_mode()
    def run(X, epochs):
        t0 = now()
        return encode_result(t0, model.embed(torch.from_numpy(X)), len(X))
    return run


@system("keras_jax", "W2", "keras jax", "keras encoder.predict, batch 1000")
def encode_keras(job):
    keras_jax(job)

    def run(X, epochs):
        t0 = now()
        return encode_result(t0, job.keras_model.encoder.predict(X, batch_size=1000, verbose=0), len(X))
    return run


@system("lightning", "W2", "lightning torch", "Trainer.predict, batch 256, torch.cat")
def encode_lightning(job):
    import torch
    from torch.utils.data import DataLoader, TensorDataset
    lightning(job)

    def run(X, epochs):
        t0 = now()
        dl = DataLoader(TensorDataset(torch.from_numpy(X)), batch_size=job.batch)
        return encode_result(t0, torch.cat(job.lightning_trainer(1).predict(job.lightning_module, dl)), len(X))
    return run


@system("skorch", "W2", "skorch torch", "net.predict, batch 256 (full forward: it has no encode)")
def encode_skorch(job):
    skorch(job)

    def run(X, epochs):
        t0 = now()
        return encode_result(t0, job.skorch_net.predict(X), len(X))
    return run


# ---------------------------------------------------------------- W4: sparse overcomplete TopK

def sparse_params(job):
    import torch
    torch.manual_seed(0)
    W = torch.randn(job.M, job.N) / job.N ** .5
    return [W.clone(), torch.zeros(job.M), W.clone(), torch.zeros(job.N)]  # encoder, its bias, decoder rows, its bias


def two_stage_topk(pre, k, group=32):
    """Exact top-k: the k largest values lie in the k groups that have the largest maxima."""
    import torch
    B, M = pre.shape
    parts = pre.view(B, M // group, group)
    best = parts.amax(-1).topk(k, sorted=False).indices
    values, at = parts.gather(1, best.unsqueeze(-1).expand(-1, -1, group)).view(B, -1).topk(k, sorted=False)
    return values, best.gather(1, at // group) * group + at % group


@system("dense", "W4", "torch", "topk, scatter to a dense code, dense decode; default Adam (the yardstick)")
@system("dense_fused", "W4", "torch", "dense with fused Adam", fused=True)
@system("gather_bmm", "W4", "torch", "decode by W[idx] and bmm, fused Adam", decode="bmm", fused=True)
@system("bag", "W4", "torch", "decode by embedding_bag(per_sample_weights), fused Adam", decode="bag", fused=True)
@system("bag_topk2", "W4", "torch", "bag + exact two-stage top-k", decode="bag", fused=True, topk2=True)
@system("dense_mallopt", "W4", "torch", "dense_fused, with mallopt", fused=True, mallopt=True)
@system("bag_topk2_mallopt", "W4", "torch", "bag_topk2, with mallopt", decode="bag", fused=True, topk2=True, mallopt=True)
def sparse_autograd(job, decode="dense", fused=False, topk2=False, mallopt=False):
    import torch
    import torch.nn.functional as F
    if mallopt:
        keep_freed_memory()
    P = [p.requires_grad_() for p in sparse_params(job)]
    We, be, Wd, bd = P
    opt = torch.optim.Adam(P, lr=1e-3, fused=fused or None)
    topk = two_stage_topk if topk2 else (lambda pre, k: pre.topk(k, sorted=False))

    def run(X, epochs):
        X, t0, total = torch.from_numpy(X), now(), 0.0
        for x in X.split(job.batch):
            opt.zero_grad(set_to_none=True)
            v, i = topk(F.linear(x, We, be), job.k)
            v = v.relu()
            if decode == "dense":
                y = torch.zeros(len(x), job.M).scatter(1, i, v) @ Wd
            elif decode == "bag":
                y = F.embedding_bag(i, Wd, mode="sum", per_sample_weights=v)
            else:
                y = torch.bmm(v.unsqueeze(1), Wd[i]).squeeze(1)
            loss = F.mse_loss(y + bd, x)
            loss.backward()
            opt.step()
            total += loss.detach()
        loss = float(total) / n_steps(len(X), job.batch)
        return now() - t0, len(X), n_steps(len(X), job.batch), {"loss": loss}
    return run


@system("sparse_lean", "W4", "torch", "hand-written: reused pre-activations, embedding_bag kernels forward and backward of both matrices")
@system("sparse_lean_topk2", "W4", "torch", "sparse_lean + exact two-stage top-k", topk2=True)
@system("sparse_lean_block", "W4", "torch", "sparse_lean_topk2 with the encoder in row blocks that stay in cache", topk2=True, block=128)
@system("sparse_lean_1t", "W4", "torch", "sparse_lean_topk2, 1 thread", threads=1, topk2=True)
def sparse_lean(job, block=1024, topk2=False):
    import torch
    import torch.nn.functional as F
    P = sparse_params(job)
    We, be, Wd, bd = P
    G, Mo, Vo = ([torch.zeros_like(p) for p in P] for _ in range(3))
    T = [torch.zeros(()) for _ in P]
    k, M, pre = job.k, job.M, torch.empty(block, job.M)
    topk = two_stage_topk if topk2 else (lambda z, k: z.topk(k, sorted=False))
    bag_starts, bag_of = torch.arange(0, job.batch * k, k), torch.arange(job.batch).repeat_interleave(k)

    def transposed_sum(rows, order, offsets, weights):  # S^T @ rows for the sparse code S: one embedding_bag
        return F.embedding_bag(torch.div(order, k, rounding_mode="floor"), rows, offsets, mode="sum",
                               per_sample_weights=weights.view(-1)[order], include_last_offset=True)

    @torch.no_grad()
    def run(X, epochs):
        X, t0, total = torch.from_numpy(X), now(), 0.0
        for x in X.split(job.batch):
            parts = [topk(torch.addmm(be, xb, We.t(), out=pre[:len(xb)]), k) for xb in x.split(block)]
            v, i = (torch.cat(p) for p in zip(*parts))
            v.relu_()
            g = F.embedding_bag(i, Wd, mode="sum", per_sample_weights=v).add_(bd).sub_(x)
            total += torch.dot(g.view(-1), g.view(-1)) / g.numel()
            g.mul_(2 / g.numel())
            dv = torch.ops.aten._embedding_bag_per_sample_weights_backward(  # <g, decoder row> for each active unit
                g, Wd, i.view(-1), bag_starts[:len(x)], bag_of[:i.numel()], 0).view_as(v)
            dv.mul_(v > 0)
            order = torch.argsort(i.view(-1))
            counts = torch.bincount(i.view(-1), minlength=M)
            offsets = F.pad(counts.cumsum(0), (1, 0))
            G[0] = transposed_sum(x, order, offsets, dv)
            G[1] = torch.bincount(i.view(-1), dv.view(-1), minlength=M).float()
            G[2] = transposed_sum(g, order, offsets, v)
            G[3] = g.sum(0)
            for t in T:
                t += 1
            torch._fused_adam_(P, G, Mo, Vo, [], T, lr=1e-3, beta1=.9, beta2=.999, weight_decay=0., eps=1e-8,
                               amsgrad=False, maximize=False)
        loss = float(total) / n_steps(len(X), job.batch)
        return now() - t0, len(X), n_steps(len(X), job.batch), {"loss": loss}
    return run


# ---------------------------------------------------------------- worker and parent

def cpu_busy():
    """CPU seconds that the whole machine has spent (user, system, irq, steal), or None."""
    try:
        f = [int(x) for x in open("/proc/stat").readline().split()[1:]]
    except OSError:
        return None
    return (sum(f) - f[3] - f[4]) / os.sysconf("SC_CLK_TCK")


def settle(noise, patience):
    """Wait until other processes use less than `noise` cores, for `patience` seconds at most."""
    end = now() + patience
    while now() < end:
        busy, t0 = cpu_busy(), now()
        time.sleep(0.3)
        if busy is None or (cpu_busy() - busy) / (now() - t0) <= noise:
            return


def worker(work, name, noise, patience):
    """Serve timed runs over stdin/stdout, one JSON line each; the library's own printing goes to stderr."""
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    say = lambda **kw: channel.write(json.dumps(kw) + "\n")
    spec = find(work, name)
    job = Job(work, spec.threads or CORES)
    try:
        if "torch" in spec.needs:
            import torch
            torch.set_num_threads(job.threads)
        X, t0 = job.X, now()
        run = spec.make(job)
        run(X[:job.warm_rows()], 1)
        say(ok=True, warmup_s=now() - t0)
    except Exception as exc:  # a system that cannot run here is reported and left out
        return say(ok=False, error=f"{type(exc).__name__}: {exc}"[:300])
    for _ in sys.stdin:
        settle(noise, patience)
        before, own, t0 = cpu_busy(), os.times(), now()
        secs, samples, steps, *extra = run(X, job.epochs)
        wall, after, end = now() - t0, cpu_busy(), os.times()
        mine = sum(end[:4]) - sum(own[:4])
        foreign = max(0.0, after - before - mine) / wall if before is not None else 0.0
        say(ok=True, seconds=secs, samples=samples, steps=steps, cores=mine / wall, foreign=foreign, wall=wall,
            **(extra[0] if extra else {}))


def profile(work, name):
    import torch
    from torch.profiler import ProfilerActivity, profile as prof
    job = Job(work, CORES)
    run = find(work, name).make(job)
    run(job.X[:job.warm_rows()], 1)
    with prof(activities=[ProfilerActivity.CPU]) as p:
        run(job.X[:max(job.warm_rows(), job.n // 4)], 1)
    print(p.key_averages().table(sort_by="self_cpu_time_total", row_limit=18, max_name_column_width=45))


def find(work, name):
    return next(s for s in SYSTEMS if s.name == name and work in s.works)


class Lock:
    """A lock file, for machines that several people measure on: kept over several calls, for `hold` seconds at most."""
    def __init__(self, path, hold):
        self.path, self.hold, self.file, self.since = path, hold, None, 0.0

    def take(self):
        if self.path and (self.file is None or now() - self.since > self.hold):
            self.release()
            time.sleep(0.5)  # let the others have their turn
            self.file = open(self.path, "a")
            fcntl.flock(self.file, fcntl.LOCK_EX)
            self.since = now()

    def release(self):
        if self.file:
            self.file.close()
            self.file = None


def start(work, spec, args):
    env = dict(os.environ, PYTHONWARNINGS="ignore", TOKENIZERS_PARALLELISM="false")
    for var in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        env[var] = str(spec.threads or CORES)
    cmd = [sys.executable, os.path.abspath(__file__), "--worker", f"{work}:{spec.name}", "--rows", str(args.rows),
           "--noise", str(args.noise), "--patience", str(args.patience)]
    return subprocess.Popen(cmd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env, bufsize=1,
                            stderr=None if args.verbose else subprocess.DEVNULL)


def answer(proc, limit):
    ready, _, _ = select.select([proc.stdout], [], [], limit)
    line = proc.stdout.readline() if ready else ""
    return json.loads(line) if line else {"ok": False, "error": "no answer in time" if not ready else "worker died"}


def measure(work, specs, args, lock):
    """Round-robin over the workers until each has `repeats` clean runs."""
    workers, results = {}, {}
    for spec in specs:
        missing = [m for m in spec.needs if importlib.util.find_spec(m) is None]
        if missing:
            results[spec.name] = {"error": "not installed: " + ", ".join(missing)}
            continue
        lock.take()
        proc = start(work, spec, args)
        first = answer(proc, args.limit)
        results[spec.name] = {"runs": [], **first}
        if first["ok"]:
            workers[spec.name] = proc
        else:
            proc.kill()
        note = "warm-up %.1f s" % first["warmup_s"] if first["ok"] else "LEFT OUT: " + first["error"]
        print(f"  {work} {spec.name:16s} {note}", file=sys.stderr, flush=True)
    for attempt in range(args.repeats + args.retries):
        for name, proc in list(workers.items()):
            runs = results[name]["runs"]
            if sum(r["foreign"] <= args.noise for r in runs) >= args.repeats:
                continue
            lock.take()
            proc.stdin.write("go\n")
            r = answer(proc, args.limit)
            if r.get("ok"):
                runs.append(r)
                print(f"  {work} {name:16s} {r['seconds']:8.3f} s  cores {r['cores']:.2f}  others {r['foreign']:.2f}",
                      file=sys.stderr, flush=True)
            else:
                results[name]["error"] = r["error"]
                workers.pop(name).kill()
    for proc in workers.values():
        proc.stdin.close()
        proc.wait(30)
    return results


def clean(entry, noise):
    runs = entry.get("runs") or []
    good = [r for r in runs if r["foreign"] <= noise]
    return (good, "") if good else (runs, "*")  # * = no run without other load


def paired(entry, base, metric, lower, noise):
    """Median over the rounds of the ratio to the yardstick's run of the same round (the n-th run is of round n)."""
    pairs = [(metric(r), metric(b)) for r, b in zip(entry["runs"], base.get("runs", []))
             if max(r["foreign"], b["foreign"]) <= noise]
    if not pairs and base.get("runs"):
        pairs = [tuple(statistics.median(map(metric, clean(x, noise)[0])) for x in (entry, base))]
    return statistics.median(b / r if lower else r / b for r, b in pairs) if pairs else None


UNIT = {"W1": ("samples/s", lambda r: r["samples"] / r["seconds"]), "W2": ("rows/s", lambda r: r["samples"] / r["seconds"]),
        "W3": ("us/step", lambda r: r["seconds"] / r["steps"] * 1e6), "W4": ("steps/s", lambda r: r["steps"] / r["seconds"])}


def limits(work, results, noise):
    """Seconds of the physical floor per timed unit (step; whole data for W2), and lines that say how it is made up."""
    mid = lambda name, key: (lambda runs: statistics.median(r[key] for r in runs) if runs and key in runs[0] else None)(
        clean(results.get(name, {}), noise)[0])
    lines = []
    if work == "W3":
        s = mid("limit_c", "seconds")
        return (s / mid("limit_c", "steps") if s else None), lines
    gemm = {n: mid(n, "gemm_s") for n in ("limit_mkl", "limit_openblas")}
    gemm = {n: s for n, s in gemm.items() if s}
    if not gemm:
        return None, lines
    gf = mid(next(iter(gemm)), "gflop")
    for n, s in gemm.items():
        lines.append(f"{n[6:]}: {gf:.3f} GFLOP in {s * 1e3:.2f} ms = {gf / s:.0f} GFLOP/s")
        for k in ("dense", "chunked"):
            d = mid(n, "gemm_s" + k)
            if d:
                lines.append(f"{n[6:]} {k}: {mid(n, 'gflop' + k):.3f} GFLOP in {d * 1e3:.2f} ms = {mid(n, 'gflop' + k) / d:.0f} GFLOP/s")
    floor = min(list(gemm.values()) + [d for d in (mid(n, "gemm_schunked") for n in gemm) if d])
    fma, bw = mid("limit_mkl", "fma_gflops"), mid("limit_mkl", "bandwidth")
    if fma:
        lines.append(f"FMA peak {fma:.0f} GFLOP/s ({mid('limit_mkl', 'fma_gflops_1t'):.0f} with 1 thread): the same matmuls in {gf / fma * 1e3:.2f} ms")
    if bw:
        adam = 28 * mid("limit_mkl", "params") / bw / 1e9
        lines.append(f"bandwidth {bw:.0f} GB/s at the parameters' size, {mid('limit_mkl', 'dram_bandwidth'):.0f} GB/s DRAM; "
                     f"Adam moves 28 B x {mid('limit_mkl', 'params') / 1e6:.3f} M = {adam * 1e3:.2f} ms (fused kernel alone: {mid('limit_mkl', 'adam_s') * 1e3:.2f} ms)")
        if work != "W2":
            floor += min(adam, mid("limit_mkl", "adam_s"))
    gather = mid("limit_mkl", "gather_s")
    if gather:
        lines.append(f"gather of one batch {gather * 1e3:.2f} ms")
        floor += gather
    lines.append(f"floor (best matmuls{'' if work == 'W2' else ' + Adam traffic'}{' + gather' if gather else ''}) {floor * 1e3:.2f} ms per {'pass' if work == 'W2' else 'step'}")
    return floor, lines


def report(all_results, noise, stream=sys.stdout):
    for work, results in all_results.items():
        unit, metric = UNIT[work]
        lower = unit.startswith("us")
        floor, lines = limits(work, results, noise)
        base = results.get("dense" if work == "W4" else "plain", {})
        rows, out = [], []
        for name, e in results.items():
            runs, mark = clean(e, noise)
            if not runs:
                out.append(f"{name} ({e.get('error', 'no run')})")
            elif name not in ("limit_mkl", "limit_openblas"):
                v = sorted(map(metric, runs))
                mid = statistics.median(v)
                units = 1 if work == "W2" else WORKS[work]["batch"]
                best = None if not floor else {"W1": units / floor, "W2": WORKS["W2"]["n"] / floor, "W3": floor * 1e6, "W4": 1 / floor}[work]
                frac = None if not best else (best / mid if lower else mid / best)
                rows.append((mid, name, v, mark, paired(e, base, metric, lower, noise), frac,
                             statistics.median(r["cores"] for r in runs), e.get("warmup_s", 0), len(runs)))
        print(f"\n{work}  ({unit}, {'lower' if lower else 'higher'} is better)", file=stream)
        print(f"{'system':17s}{'median':>11s}{'min':>11s}{'max':>11s}{'x plain':>9s}{'of limit':>10s}{'cores':>7s}{'warm s':>8s}{'runs':>5s}  what", file=stream)
        for mid, name, v, mark, ratio, frac, cores, warm, count in sorted(rows, reverse=not lower):
            fmt = lambda x: f"{x:11.1f}" if x < 1000 else f"{x:11,.0f}"
            print(f"{name:16s}{mark or ' '}{fmt(mid)}{fmt(v[0])}{fmt(v[-1])}{f'{ratio:.2f}' if ratio else '-':>9s}{f'{frac:.1%}' if frac else '-':>10s}{cores:7.2f}{warm:8.1f}{count:5d}  {find(work, name).note}", file=stream)
        for line in lines:
            print("  limit: " + line, file=stream)
        if out:
            print("  left out: " + "; ".join(out), file=stream)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--work", nargs="+", choices=WORKS, default=list(WORKS))
    ap.add_argument("--systems", help="comma-separated names (default: all)")
    ap.add_argument("--repeats", type=int, default=3)
    ap.add_argument("--retries", type=int, default=3, help="extra rounds for runs disturbed by other processes")
    ap.add_argument("--noise", type=float, default=0.15, help="cores used by other processes above which a run is repeated")
    ap.add_argument("--patience", type=float, default=20, help="seconds to wait for a quiet machine before a run")
    ap.add_argument("--lock", help="file to lock while timing")
    ap.add_argument("--hold", type=float, default=200, help="seconds after which the lock is given up and asked for again")
    ap.add_argument("--limit", type=float, default=280, help="seconds after which a worker is given up")
    ap.add_argument("--json", help="add the raw results to this file")
    ap.add_argument("--report", nargs="+", metavar="JSON", help="print the tables of earlier runs")
    ap.add_argument("--profile", metavar="WORK:SYSTEM")
    ap.add_argument("--list", action="store_true")
    ap.add_argument("--verbose", action="store_true", help="show the workers' own output")
    ap.add_argument("--rows", type=int, default=10 ** 9, help="at most this many rows of data (for a quick try)")
    ap.add_argument("--worker", help=argparse.SUPPRESS)
    args = ap.parse_args()
    for w in WORKS.values():
        w["n"] = min(w["n"], args.rows)
    if args.worker:
        return worker(*args.worker.split(":"), args.noise, args.patience)
    if args.profile:
        return profile(*args.profile.split(":"))
    if args.list:
        return print("\n".join(f"{' '.join(s.works):10s}{s.name:17s}{s.note}" for s in SYSTEMS))
    merged = {}
    if args.report:
        for path in args.report:
            for work, results in json.load(open(path)).items():
                merged.setdefault(work, {}).update(results)
        return report({w: merged[w] for w in WORKS if w in merged}, args.noise)
    unknown = set((args.systems or "").split(",")) - {s.name for s in SYSTEMS} - {""}
    if unknown:
        ap.error("unknown systems: " + ", ".join(sorted(unknown)))
    wanted, lock = args.systems.split(",") if args.systems else None, Lock(args.lock, args.hold)
    for work in args.work:
        specs = [s for s in SYSTEMS if work in s.works and (wanted is None or s.name in wanted)]
        merged[work] = measure(work, specs, args, lock)
        lock.release()
        if args.json:
            old = json.load(open(args.json)) if os.path.exists(args.json) else {}
            old.setdefault(work, {}).update(merged[work])
            json.dump(old, open(args.json, "w"))
    report(merged, args.noise)


if __name__ == "__main__":
    main()
