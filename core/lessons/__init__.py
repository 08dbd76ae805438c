"""Lessons: predict, try, check. One spec gives the page, a notebook and a worksheet.

>>> from core.lessons.course import LESSONS, find_lesson
"""
