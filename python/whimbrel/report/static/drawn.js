W.plots.start();
