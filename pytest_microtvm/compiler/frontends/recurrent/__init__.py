"""LSTM, GRU and RNN layers of ONNX models and of PyTorch programs, as ONNX says them.

layers       the products of all inputs with their weights, and a kernel behind them
loops        the kernel: a loop over the steps
activations  the functions of the gates
"""
