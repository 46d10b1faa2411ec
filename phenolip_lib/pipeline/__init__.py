"""What `dvc` and the command line run: stages, notebooks, commands.

In come names; out come calls of the rooms below. No number is computed here.
"""
