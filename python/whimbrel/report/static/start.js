({ run: () => W.run(), bench: () => W.bench(), plan: () => W.plan(), quantize: () => W.quantize() })[W.data.kind]();
