"""Run pip with watched builds, for the scripts that look at builds alone."""

# scripts/ holds programs and is no package.
# ruff: noqa: INP001

# A program for python -c; its arguments are the path of the runner ("": builds are not watched), the folder for the notes, and
# pip's arguments. As in pinstall's child, each step of a build runs under the runner.
PIP = """
import runpy, sys
runner, folder, *words = sys.argv[1:]
if runner:
    program = open(runner).read()
    space = {"__name__": "build_watch", "__file__": runner}
    exec(compile(program, runner, "exec"), space)
    space["watch_steps"](folder, program)
sys.argv = ["pip", *words]
runpy.run_module("pip", run_name="__main__")
"""
