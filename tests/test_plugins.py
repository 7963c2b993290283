from .plugin_environment import HEALTHY
def test_healthy(environment):
    e = environment(HEALTHY)
    print(e.records())
    print(e.mf("models").stdout)
    print(e.run("import sys; print(sys.path); print(__import__('os').listdir(sys.path[-1]))").stdout)
    assert 0
