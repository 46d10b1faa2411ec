"""What every other room stands on: params, paths, errors, files, caches, processes and progress.

In come ``params.yaml`` and the project's folder; out come checked settings, whole files and one clear line for each
mistake. Nothing here knows of medicine or of models.
"""
